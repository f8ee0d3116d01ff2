"""Keep the documents that every rule holds for.

In: documents. Out: two layers beside them: signals struct<...> (`jobs.text.signals`), and the
decision, `reject_reason`: the name of the first rule that failed, `language` before all others.

A rule is an SQL expression over the documents' columns and the signals, so a threshold can change
without computing a signal again, and a new rule is a line in a configuration (`jobs.text.rules`).
"""

import functools
from collections.abc import Iterator

import pyarrow as pa

from infra.lake.shards import ShardMap
from infra.manifest import Manifest
from infra.parameters import option, parameters
from infra.step import DOCUMENTS, Launch, Rate, Step, Task
from jobs.page.document import SCHEMA
from jobs.spark.documents import commit_layers
from jobs.spark.session import Session
from jobs.text import rules
from jobs.text.signals import SIGNALS, signals_of
from jobs.text.words import UNSPACED_LANGUAGES

UNSPACED = f"lang IN ({', '.join(repr(code) for code in UNSPACED_LANGUAGES)})"
DOCUMENT = [field for field in SCHEMA if field.name not in ("reject_reason", "detail")]
KNOWN = pa.schema([*DOCUMENT, *(pa.field(name, kind) for name, kind in SIGNALS.items())])
SIGNALS_SCHEMA = pa.schema(
    [("signals", pa.struct([pa.field(name, kind) for name, kind in SIGNALS.items()]))]
)
DECISION = pa.schema([("reject_reason", pa.string())])
ROWS_AT_ONCE = 10_000


def default_rules() -> dict[str, str]:
    """Gopher's, C4's and FineWeb's rules for whole pages with the papers' thresholds (sources in
    `jobs.text.signals`).

    What speaks of English or of words between spaces is asked of no other language: stop words of
    English alone, word lengths and repeated n-grams not of scripts whose every sign is a word here,
    sentence ends not of Thai, which has none. C4's rules for single lines are left out, and so is
    its terminal punctuation, which FineWeb found to cost more than it gives.
    """
    top = {2: 0.20, 3: 0.18, 4: 0.16}
    repeated = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    top_ngrams = " AND ".join(f"top_{n}gram_ratio <= {most}" for n, most in top.items())
    ngrams = " AND ".join(f"dup_{n}gram_ratio <= {most}" for n, most in repeated.items())
    return {
        "c4_curly_bracket": "curly_brackets = 0",
        "c4_lorem_ipsum": "lorem_ipsum = 0",
        "c4_sentences": "lang = 'th' OR sentences >= 3",
        "fineweb_char_dup": "char_dup_ratio < 0.1",
        "fineweb_line_punct": "lang = 'th' OR line_punct_ratio > 0.12",
        "fineweb_short_lines": "short_line_ratio < 0.67",
        "gopher_alpha_words": "alpha_word_ratio >= 0.8",
        "gopher_bullet_lines": "bullet_line_ratio <= 0.9",
        "gopher_dup_lines": "dup_line_ratio <= 0.3 AND dup_line_char_ratio <= 0.2",
        "gopher_dup_ngrams": f"{UNSPACED} OR ({ngrams})",
        "gopher_dup_paragraphs": "dup_paragraph_ratio <= 0.3 AND dup_paragraph_char_ratio <= 0.2",
        "gopher_ellipsis_lines": "ellipsis_line_ratio <= 0.3",
        "gopher_stop_words": "lang != 'en' OR stop_words >= 2",
        "gopher_symbols": "hash_ratio <= 0.1 AND ellipsis_ratio <= 0.1",
        "gopher_top_ngrams": f"{UNSPACED} OR ({top_ngrams})",
        "gopher_word_count": "word_count BETWEEN 50 AND 100000",
        "gopher_word_length": f"{UNSPACED} OR mean_word_length BETWEEN 3 AND 10",
    }


@parameters
class FilterParameters:
    """What a document must be."""

    rules: dict[str, str] = option(
        default_rules,
        "name -> SQL expression over columns and signals that must be true; the name is the reason",
    )
    languages: list[str] = option(list, "ISO 639-1 codes to keep; empty keeps all")

    def __post_init__(self) -> None:
        rules.check(self.rules, KNOWN)


def maps(task: Task) -> tuple[ShardMap, ...]:
    """Signals, whatever the rules are; then the decision."""
    p: FilterParameters = task.parameters
    columns = rules.columns_in(p.rules, [field.name for field in DOCUMENT])
    decide = functools.partial(decide_batches, named=p.rules, languages=p.languages)
    decision = {"rules": p.rules, "languages": p.languages}
    reads = tuple(dict.fromkeys(["lang", *columns, "signals"]))
    return (
        ShardMap("signals", 2, {}, ("text",), SIGNALS_SCHEMA, add_signals),
        ShardMap("filter", 2, decision, reads, DECISION, decide),
    )


STEP = Step(
    name="filter",
    kind="clean",
    version=2,
    help="Quality signals for every document, and the decision over them.",
    parameters=FilterParameters,
    reads=(DOCUMENTS,),
    role=DOCUMENTS,
    module="jobs.filter",
    launch=Launch.SPARK,
    funnel=True,
    optional=True,
    rate=Rate(0.004, kept=0.5),
    maps=maps,
    reasons={
        rules.LANGUAGE: "its language is not among `filter.languages`; asked before all rules",
        "<a rule's name>": "the first rule of `filter.rules` that is not true of it",
    },
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises GristmillError when a row was lost."""
    return commit_layers(session, task, maps(task))


def add_signals(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In: text. Out: signals."""
    for batch in batches:
        column = signals_of(batch.column("text").to_pylist())
        yield pa.RecordBatch.from_arrays([column], schema=SIGNALS_SCHEMA)


def decide_batches(
    batches: Iterator[pa.RecordBatch], named: dict[str, str], languages: list[str]
) -> Iterator[pa.RecordBatch]:
    """In: lang, signals and what the rules name. Out: reject_reason."""
    for rows in gathered(batches):
        flat = rows.drop_columns(["signals"])
        for name, column in zip(SIGNALS, rows["signals"].combine_chunks().flatten(), strict=True):
            flat = flat.append_column(name, column)
        found = rules.reasons(flat, named, languages)
        yield pa.RecordBatch.from_arrays([found], schema=DECISION)


def gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in tables of about ROWS_AT_ONCE: a query costs a millisecond, however few rows."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(rows.num_rows for rows in waiting) >= ROWS_AT_ONCE:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)
