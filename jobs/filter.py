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
from jobs.page.document import OF_REJECTED, SCHEMA
from jobs.spark.documents import commit_layers
from jobs.spark.session import Session
from jobs.text import rules
from jobs.text.signals import C4, FINEWEB, GOPHER, SIGNALS, signals_of

FINEWEB_2 = "FineWeb-2 (Penedo et al. 2025, arXiv:2506.20920)"
ENGLISH = "lang = 'en'"
UNSPACED = "unspaced_word_ratio > 0.3"
WIDELY_WRITTEN = (
    *("af", "ar", "az", "be", "bg", "bn", "bs", "ca", "cs", "da", "de", "el", "en", "es", "et"),
    *("eu", "fa", "fi", "fr", "gl", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja"),
    *("ka", "kk", "km", "kn", "ko", "ky", "la", "lt", "lv", "mk", "ml", "mn", "mr", "ms", "my"),
    *("ne", "nl", "nn", "no", "or", "pl", "pt", "ro", "ru", "si", "sk", "sl", "so", "sq", "sr"),
    *("sv", "sw", "ta", "te", "th", "tl", "tr", "uk", "ur", "uz", "vi", "zh"),
)
"""English, and the languages of which FineWeb-2 keeps a million documents or more: its median
thresholds for the repetition of n-grams there are Gopher's (0.16 to 0.11)."""
DOCUMENT = [field for field in SCHEMA if field.name not in OF_REJECTED]
KNOWN = pa.schema([*DOCUMENT, *(pa.field(name, kind) for name, kind in SIGNALS.items())])
SIGNALS_SCHEMA = pa.schema(
    [("signals", pa.struct([pa.field(name, kind) for name, kind in SIGNALS.items()]))]
)
DECISION = pa.schema([("reject_reason", pa.string())])
ROWS_AT_ONCE = 10_000
RULES, WORDS = ("duckdb",), ("python",)
"""The libraries that shape a decision, and those that shape signals."""


def default_rules() -> dict[str, str]:
    """The published rules for whole pages. By rule: whose, where datatrove 0.10 has it, the bound.

    c4_curly_bracket       C4 2.2, C4QualityFilter                       none; English
    c4_lorem_ipsum         C4 2.2, C4QualityFilter                       none
    c4_sentences           C4 2.2: at least 3 (datatrove: 5)             English
    fineweb_char_dup       FineWeb 3.6, FineWebQualityFilter             0.01; 0.1 but in English
    fineweb_line_punct     the same: lines that end a sentence           0.12
    fineweb_new_lines      datatrove's `list_ratio`                      0.3
    fineweb_short_lines    FineWeb 3.6: lines of up to 30 characters     0.67; English
    gopher_alpha_words     Gopher A.1.1, GopherQualityFilter             0.8
    gopher_bullet_lines    the same                                      0.9
    gopher_dup_lines       Gopher table A1, GopherRepetitionFilter       0.3, of characters 0.2
    gopher_dup_ngrams      the same, 5 to 10 words                       0.15 to 0.10; 0.32 to 0.22
    gopher_dup_paragraphs  the same                                      0.3, of characters 0.2
    gopher_ellipsis_lines  Gopher A.1.1                                  0.3
    gopher_stop_words      the same: two of eight                        English
    gopher_symbols         the same: `#` and `...` a word                0.1
    gopher_top_ngrams      Gopher table A1, 2 to 4 words                 0.20 to 0.16
    gopher_word_count      Gopher A.1.1                                  50 to 100,000
    gopher_word_length     the same                                      3 to 10; 2 to 21

    They were made for English. What another language is asked follows FineWeb-2 (Penedo et al.
    2025, arXiv 2506.20920; `fineweb-2-pipeline.py` and the thresholds of 1,929 languages in
    `configs/`): none of C4's rules but lorem ipsum, no short lines, 0.1 for repeated lines; mean
    word lengths between the 5th and the 95th percentile of its bounds; for n-grams, outside of
    WIDELY_WRITTEN, the median of its thresholds for all other languages. Where most of a text has
    one word a sign, lengths and repetition of words are not asked at all.

    FineWeb prints 0.1 for repeated lines and was made with datatrove's 0.01 (FineWeb-2's pipeline
    says so); 0.01 is kept for English. C4's rules for single lines are left out, and so is its
    terminal punctuation, which FineWeb found to cost more than it gives. Agreement with datatrove:
    tests/benchmarks/RESULTS.md.
    """
    top = {2: 0.20, 3: 0.18, 4: 0.16}
    repeated = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    elsewhere = {5: 0.32, 6: 0.31, 7: 0.29, 8: 0.26, 9: 0.24, 10: 0.22}
    widely = f"lang IN ({', '.join(map(repr, WIDELY_WRITTEN))})"
    return {
        "c4_curly_bracket": f"NOT {ENGLISH} OR curly_brackets = 0",
        "c4_lorem_ipsum": "lorem_ipsum = 0",
        "c4_sentences": f"NOT {ENGLISH} OR sentences >= 3",
        "fineweb_char_dup": f"char_dup_ratio <= 0.01 OR NOT {ENGLISH} AND char_dup_ratio <= 0.1",
        "fineweb_line_punct": "line_punct_ratio >= 0.12",
        "fineweb_new_lines": "new_line_ratio <= 0.3",
        "fineweb_short_lines": f"NOT {ENGLISH} OR short_line_ratio <= 0.67",
        "gopher_alpha_words": "alpha_word_ratio >= 0.8",
        "gopher_bullet_lines": "bullet_line_ratio <= 0.9",
        "gopher_dup_lines": "dup_line_ratio <= 0.3 AND dup_line_char_ratio <= 0.2",
        "gopher_dup_ngrams": f"{UNSPACED} OR {_at_most('dup', repeated)}"
        f" OR NOT {widely} AND {_at_most('dup', elsewhere)}",
        "gopher_dup_paragraphs": "dup_paragraph_ratio <= 0.3 AND dup_paragraph_char_ratio <= 0.2",
        "gopher_ellipsis_lines": "ellipsis_line_ratio <= 0.3",
        "gopher_stop_words": f"NOT {ENGLISH} OR stop_words >= 2",
        "gopher_symbols": "hash_ratio <= 0.1 AND ellipsis_ratio <= 0.1",
        "gopher_top_ngrams": f"{UNSPACED} OR {_at_most('top', top)}",
        "gopher_word_count": "word_count BETWEEN 50 AND 100000",
        "gopher_word_length": f"{UNSPACED} OR mean_word_length BETWEEN 3 AND 10"
        f" OR NOT {ENGLISH} AND mean_word_length BETWEEN 2 AND 21",
    }


def _at_most(share: str, most: dict[int, float]) -> str:
    """That the `top` or `dup` share of n-grams is at most the bound for each n."""
    return " AND ".join(f"{share}_{n}gram_ratio <= {bound}" for n, bound in most.items())


@parameters
class FilterParameters:
    """What a document must be."""

    rules: dict[str, str] = option(
        default_rules,
        "name -> SQL expression (docs/rules.md) that must be true; the name is the reason",
        source=f"{GOPHER}; {C4}; {FINEWEB}; {FINEWEB_2}",
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
        ShardMap("signals", 3, {}, ("text",), SIGNALS_SCHEMA, add_signals, libraries=WORDS),
        ShardMap("filter", 3, decision, reads, DECISION, decide, libraries=RULES),
    )


STEP = Step(
    name="filter",
    kind="clean",
    version=3,
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
    libraries=(*RULES, *WORDS),
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
