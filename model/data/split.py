"""One split of a `tokens` artifact (Parquet, column `tokens`: packed little-endian integers).

In: the artifact's manifest (details.splits: files, and tokens a row group) and the files it names,
in a directory or on S3. Out: a row group at a time, its tokens as one array in row order, and its
documents. No torch here.
"""

import pyarrow as pa

from infra.errors import GristmillError
from infra.lake import Artifact
from infra.lake.tokens import Tokens, dtype_of, row_groups, split_of, unpacked


class TokenSplit:
    """One split (`train`, `val`) of a tokens artifact; its row groups are numbered from 0.

    digest      of the artifact's manifest, whole
    tokens      in the split; bytes: of UTF-8 text that they encode
    vocab_size  of the tokenizer
    row_groups  in the order of the manifest's files

    Raises GristmillError when the artifact has no such split.
    """

    def __init__(self, artifact: Artifact, split: str) -> None:
        manifest = artifact.require()
        found = split_of(artifact.uri, manifest, split)
        self.digest = manifest.digest
        self.name = split
        self.tokens = int(found["tokens"])
        self.bytes = int(found["bytes"])
        self.vocab_size = int(manifest.details["vocab_size"])
        self.dtype = dtype_of(manifest)
        self.row_groups = row_groups(artifact.uri, found)

    def read(self, number: int) -> Tokens:
        """All tokens of row group `number`, in row order.

        Raises GristmillError when they are not as many as the manifest says.
        """
        group = self.row_groups[number]
        tokens = unpacked(group.read(["tokens"]).column("tokens"), self.dtype)
        if len(tokens) != group.tokens:
            raise GristmillError(
                f"{group.uri}: row group {group.place} has {len(tokens)} tokens, the manifest says"
                f" {group.tokens}; tokenize again"
            )
        return tokens

    def documents(self, number: int) -> pa.Table:
        """The row group's documents without their tokens: source, n_tokens, n_bytes."""
        return self.row_groups[number].read(["source", "n_tokens", "n_bytes"])
