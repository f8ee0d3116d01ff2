"""Where a document's tokens are, and how often each training drew them. No torch.

In: a tokens artifact; the splits in its manifest list their files, each with the tokens of its row
groups. Of the files only `doc_id` and `n_tokens` are read. What a training has seen is computed
from its order (`model.data.order`), nobody recorded it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.chain.steps import makers
from flows.command.ways import Made, at_once, matching
from infra.lake import Lake, parquet
from model.data.order import Order

TOKENS, CHECKPOINTS, TRAIN = "tokens", "checkpoints", "train"


@dataclass(frozen=True)
class TokenRow:
    """Where a document's tokens of one split are; `group`: the row group's number in the split."""

    split: str
    file: str
    row_group: int
    row: int
    first_token: int
    n_tokens: int
    group: int


def token_rows(root: str, tokens: Made, doc_ids: Sequence[str]) -> dict[str, list[TokenRow]]:
    """doc_id -> the rows of its tokens, in the order of each split's files."""
    splits = tokens.manifest.details["splits"]
    files = [(split, file) for split in splits for file in splits[split]["files"]]
    wanted = [bytes.fromhex(doc_id) for doc_id in doc_ids]
    groups = dict.fromkeys(splits, 0)
    firsts = []
    for split, file in files:
        firsts.append(groups[split])
        groups[split] += len(file["row_groups"])

    def look(number: int) -> list[tuple[str, TokenRow]]:
        split, file = files[number]
        path = f"{tokens.artifact.path}/{file['path']}"
        ids = parquet.read(root, path, ["doc_id"])["doc_id"]
        places = matching(ids, wanted)
        if not places:
            return []
        sizes = parquet.read(root, path, ["n_tokens"])["n_tokens"].to_numpy()
        return [
            (
                ids[place].as_py().hex(),
                TokenRow(split, path, *located(sizes, file["row_groups"], place, firsts[number])),
            )
            for place in places
        ]

    found: dict[str, list[TokenRow]] = {doc_id: [] for doc_id in doc_ids}
    for doc_id, row in (each for rows in at_once(look, range(len(files))) for each in rows):
        found[doc_id].append(row)
    return found


def located(
    sizes: npt.NDArray[np.integer[Any]], row_groups: Sequence[int], place: int, first_group: int
) -> tuple[int, int, int, int, int]:
    """Row group, row and first token in it, tokens, and the row group's number in the split, of a
    file's row `place`. sizes: tokens of each row; row_groups: of each row group."""
    starts = np.cumsum(sizes, dtype=np.int64) - sizes
    ends = np.cumsum(row_groups, dtype=np.int64)
    group = int(np.searchsorted(ends, starts[place], side="right"))
    start = int(ends[group]) - row_groups[group]
    row = place - int(np.searchsorted(starts, start))
    return group, row, int(starts[place]) - start, int(sizes[place]), first_group + group


def trained_on(lake: Lake, tokens: Made) -> list[Made]:
    """The trainings on these tokens, whatever the lineage that is searched."""
    kinds = [step.kind for step in makers(CHECKPOINTS)]
    found = (Made(each, each.known()) for kind in kinds for each in lake.artifacts(kind))
    digest = tokens.manifest.digest
    return [each for each in found if each.manifest.inputs.get(TOKENS) == digest]


def drawn(training: Made, tokens: Made, rows: Sequence[TokenRow]) -> dict[str, Any]:
    """How often a training had drawn a sequence that holds any of these tokens."""
    given, details = training.manifest.parameters, training.manifest.details
    files = tokens.manifest.details["splits"][TRAIN]["files"]
    sizes = [size for file in files for size in file["row_groups"]]
    order = Order(sizes, given["model"]["context_tokens"], given["seed"])

    def times(steps: int) -> int:
        consumed = steps * given["global_batch_sequences"]
        mine = [row for row in rows if row.split == TRAIN]
        ends = [(row.group, row.first_token, row.first_token + row.n_tokens) for row in mine]
        return max((order.consumed(*each, consumed) for each in ends), default=0)

    steps = {"steps": details["steps"], "final_step": details["final_step"]}
    return {
        "artifact": training.artifact.path,
        **steps,
        "epochs": details["epochs"],
        "drawn": times(steps["steps"]),
        "drawn_by_final_step": times(steps["final_step"]),
    }
