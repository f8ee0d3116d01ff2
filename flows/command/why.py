"""Why a document is in the corpus or is not: its way from the crawl file to the models that saw it.

In: a lake, and a document's URL or doc_id. Out: one plain object for each row that it is (a page
captured twice is two, told apart by `row_id`):

    row_id, doc_id, url, title, lang, source, fetched_at
    crawl        file, offset in it, uri (where the crawl file was)
    stored       shard, file (below the lake's root) and row of the first step's output
    verdicts     of each step, in order (`flows.command.ways`)
    kept         whether every step kept it
    tokens       where its tokens are: file, row_group and row in it, first_token in the row group,
                 n_tokens, split, group (the row group's number in the split)
    checkpoints  every training on those tokens: how often it drew a sequence with any of them, in
                 all its steps (`drawn`) and up to the final weights' step (`drawn_by_final_step`)

Nothing is written, and no text is read.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flows.chain.steps import makers, of_chain
from flows.command.seen import TokenRow, drawn, token_rows, trained_on
from flows.command.ways import KEPT, Made, Place, at_once, facts, matching, verdicts
from infra.crawl import KEY_BYTES
from infra.errors import UsageError
from infra.lake import Lake, parquet
from infra.lake.shards import name_of
from infra.step import DOCUMENTS

TOKENS = "tokens"
DOC_ID = re.compile(r"[0-9a-fA-F]{32}")
ABOUT = ("row_id", "doc_id", "url", "title", "lang", "source", "fetched_at")
CRAWLED = ("warc_file", "warc_offset")
HEX = 2
"""Hexadecimal digits of a byte."""


def why(lake: Lake, document: str, reference: str | None) -> list[dict[str, Any]]:
    """The way of every row with this URL or doc_id (32 hexadecimal digits).

    reference  an artifact whose lineage is searched; None: the newest one of the last step

    Raises UsageError where the document is nowhere.
    """
    kinds = [step.kind for step in of_chain()]
    searched = lake.find(reference) if reference else lake.newest(*kinds)
    if searched is None:
        raise UsageError(
            f"{lake.root}: no artifact yet; `gristmill extract --input CRAWL` makes one"
        )
    made = [Made(each, each.known()) for each in lake.ancestors(searched)]
    tokens = next((each for each in made if plays(each, TOKENS)), None)
    chain = documents_of(made, tokens)
    if not chain:
        raise UsageError(
            f"{searched.path}: was not made from documents; give --input an artifact that was"
        )
    by_id = bool(DOC_ID.fullmatch(document))
    key = ("doc_id", bytes.fromhex(document)) if by_id else ("url", document)
    found = places(lake.root, chain[0], *key)
    if not found:
        raise UsageError(
            f"{document}: no such {key[0]} among the kept and rejected rows of"
            f" {chain[0].artifact.path}, which {searched.path} was made from; give the exact URL or"
            " a doc_id of 32 digits, or --input another artifact (`gristmill ls`)"
        )
    ways = [way(lake.root, [*chain, *([tokens] if tokens else [])], place) for place in found]
    return with_tokens(lake, tokens, ways) if tokens else ways


def places(root: str, first: Made, column: str, value: str | bytes) -> list[Place]:
    """Every row of the first step, kept or rejected, whose column has the value."""
    entries = [entry for entry in first.manifest.files if entry.layer == 0 <= entry.shard]

    def scan(path: str) -> list[int]:
        return matching(parquet.read(root, path, [column])[column], [value])

    found = at_once(scan, [entry.path for entry in entries])
    return [
        Place(entry.shard, entry.path, row, entry.is_rejected)
        for entry, rows in zip(entries, found, strict=True)
        for row in rows
    ]


def plays(made: Made, role: str) -> bool:
    """Whether an artifact plays the role for later steps."""
    return made.manifest.step in [step.name for step in makers(role)]


def documents_of(made: Sequence[Made], tokens: Made | None) -> list[Made]:
    """The artifacts with rows of documents, each made of the one before it, down to those that the
    tokens were made of, or to the nearest."""
    by_digest = {each.manifest.digest: each for each in made}
    nearest = next((each for each in made if plays(each, DOCUMENTS)), None)
    last = by_digest.get(tokens.manifest.inputs[DOCUMENTS]) if tokens else nearest
    chain: list[Made] = []
    while last:
        chain.insert(0, last)
        last = by_digest.get(last.manifest.inputs.get(DOCUMENTS, ""))
    return chain


def way(root: str, chain: Sequence[Made], place: Place) -> dict[str, Any]:
    """One row's way through the steps on documents; without tokens."""
    row = facts(root, place, [*ABOUT, *CRAWLED])
    file, offset = (row.pop(name) for name in CRAWLED)
    crawl = chain[0].manifest.details.get("crawl", [])
    uris = {source["key"]: source["uri"] for source in crawl}
    said = verdicts(root, chain, place)
    return {
        **row,
        "crawl": {
            "file": file,
            "offset": offset,
            "uri": uris.get(row["row_id"][: HEX * KEY_BYTES]),
        },
        "stored": {"shard": name_of(place.file), "file": place.file, "row": place.row},
        "verdicts": said,
        "kept": said[-1]["verdict"] == KEPT,
        "tokens": [],
        "checkpoints": [],
    }


def with_tokens(lake: Lake, tokens: Made, ways: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ways with the tokens of those that were kept, and the trainings on them.

    Rows of one doc_id stand side by side in the tokens, in the order of their row_ids: of so many
    kept ones each has its own.
    """
    kept = [each["doc_id"] for each in ways if each["kept"]]
    rows = token_rows(lake.root, tokens, kept) if kept else {}
    trainings = trained_on(lake, tokens) if kept else []
    made = []
    for each in ways:
        mine: list[TokenRow] = []
        if each["kept"]:
            doc_id = each["doc_id"]
            twins = sorted(w["row_id"] for w in ways if w["kept"] and w["doc_id"] == doc_id)
            for split in tokens.manifest.details["splits"]:
                here = [row for row in rows[doc_id] if row.split == split]
                mine += here[twins.index(each["row_id"]) :: len(twins)]
        seen = [drawn(training, tokens, mine) for training in trainings] if mine else []
        made.append({**each, "tokens": [asdict(row) for row in mine], "checkpoints": seen})
    return made
