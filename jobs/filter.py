"""Keep the documents that every rule holds for.

In: a `documents` artifact. Out: the same columns and signals struct<...> (`jobs.text.signals`); rejected rows carry the name of the first
rule that failed, `language` before all others.

A rule is an SQL expression over the documents' columns and the signals, so a threshold can change without extracting again, and a new
rule is a line in a configuration. A row is kept where every rule is true; a rule that is null fails. Rules are looked at in the order
of their names, as they enter the digest.
"""

import difflib
import re
from collections.abc import Iterator

import pyarrow as pa
from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import BooleanType, StructField, StructType

from infra.errors import UsageError, nearest
from infra.manifest import Manifest
from infra.parameters import option, parameters
from infra.step import Step, Task
from jobs.extract import SCHEMA
from jobs.spark.order import read_spread
from jobs.spark.session import Session
from jobs.text.signals import SIGNALS, signals_of

UNSPACED = "lang IN ('zh', 'ja', 'ko', 'th')"
LANGUAGE = "language"
COLUMNS = {*SCHEMA.names, *SIGNALS}
TEXT = re.compile(r"'[^']*'|\"[^\"]*\"")
WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?!\w|\s*\()")


def default_rules() -> dict[str, str]:
    """Gopher's, C4's and FineWeb's rules for whole pages with the papers' thresholds (sources in `jobs.text.signals`).

    What speaks of English or of words between spaces is asked of no other language: stop words of English alone, word lengths and
    repeated n-grams not of scripts whose every sign is a word here, sentence ends not of Thai, which has none. C4's rules for single
    lines are left out, and so is its terminal punctuation, which FineWeb found to cost more than it gives.
    """
    top = {2: 0.20, 3: 0.18, 4: 0.16}
    duplicate = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
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
        "gopher_dup_ngrams": f"{UNSPACED} OR ({' AND '.join(f'dup_{n}gram_ratio <= {most}' for n, most in duplicate.items())})",
        "gopher_dup_paragraphs": "dup_paragraph_ratio <= 0.3 AND dup_paragraph_char_ratio <= 0.2",
        "gopher_ellipsis_lines": "ellipsis_line_ratio <= 0.3",
        "gopher_stop_words": "lang != 'en' OR stop_words >= 2",
        "gopher_symbols": "hash_ratio <= 0.1 AND ellipsis_ratio <= 0.1",
        "gopher_top_ngrams": f"{UNSPACED} OR ({' AND '.join(f'top_{n}gram_ratio <= {most}' for n, most in top.items())})",
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
        for name, rule in sorted(self.rules.items()):
            if word := misspelt(rule):
                raise UsageError(
                    f"filter.rules.{name}: unknown column '{word}'{nearest(word.lower(), COLUMNS)}"
                )


STEP = Step(
    name="filter",
    kind="clean",
    version=1,
    parameters=FilterParameters,
    inputs=("documents",),
    module="jobs.filter",
)


def run(session: Session, task: Task) -> Manifest:
    """Execute the step. Raises UsageError for a rule that cannot be evaluated, before anything is written."""
    parameters: FilterParameters = task.parameters
    documents = task.inputs["documents"]
    frame = read_spread(session, documents)
    schema = StructType([*frame.schema.fields, StructField("signals", signals_type(), False)])
    check(session.spark.createDataFrame([], schema), parameters)
    writer = task.lake.begin(task.identity, task.name)
    scored = session.checkpoint(writer, "scored", frame.mapInArrow(add_signals, schema))
    return session.commit_rows(
        task, writer, decided(scored, parameters), documents.require().counts.rows_out
    )


def decided(scored: DataFrame, parameters: FilterParameters) -> DataFrame:
    """The rows with `reject_reason`: the name of the first rule that does not hold, null where all do."""
    failures = [
        F.when(~F.coalesce(F.expr(rule), F.lit(False)), F.lit(name))
        for name, rule in sorted(parameters.rules.items())
    ]
    if parameters.languages:
        failures.insert(
            0,
            F.when(
                ~F.coalesce(F.col("lang").isin(parameters.languages), F.lit(False)), F.lit(LANGUAGE)
            ),
        )
    reason = F.coalesce(*failures, F.lit(None).cast("string"))
    return scored.select("*", "signals.*").withColumn("reject_reason", reason).drop(*SIGNALS)


def check(empty: DataFrame, parameters: FilterParameters) -> None:
    """Raises UsageError that names the first rule that cannot be evaluated over these columns, and the nearest column."""
    flat = empty.select("*", "signals.*")
    for name, rule in sorted(parameters.rules.items()):
        try:
            kind = flat.select(F.expr(rule)).schema.fields[0].dataType
        except ParseException:
            raise UsageError(f"filter.rules.{name}: '{rule}' is no SQL expression") from None
        except AnalysisException as error:
            raise UsageError(
                f"filter.rules.{name}: {_explain(error, [c for c in flat.columns if c != 'signals'])}"
            ) from None
        if not isinstance(kind, BooleanType):
            raise UsageError(
                f"filter.rules.{name}: '{rule}' is a {kind.simpleString()}; a rule must be true or false"
            )


def _explain(error: AnalysisException, columns: list[str]) -> str:
    unknown = (error.getMessageParameters() or {}).get("objectName", "").strip("`")
    if (error.getCondition() or "").startswith("UNRESOLVED_COLUMN"):
        return f"unknown column '{unknown}'{nearest(unknown, columns)}"
    return str(error).splitlines()[0][:200]


def misspelt(rule: str) -> str | None:
    """The first name in an SQL expression that is no column, but nearly one. `check` sees all that is wrong, with Spark; this sees the
    most frequent mistake before anything runs."""
    for word in WORD.findall(TEXT.sub(" ", rule)):
        if word.lower() not in COLUMNS and difflib.get_close_matches(
            word.lower(), COLUMNS, n=1, cutoff=0.8
        ):
            return str(word)
    return None


def signals_type() -> StructType:
    """The Spark type of the signals."""
    return from_arrow_schema(
        pa.schema([pa.field(name, kind, nullable=True) for name, kind in SIGNALS.items()])
    )


def add_signals(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Append the struct column `signals` of the column `text`."""
    for batch in batches:
        columns = [*batch.columns, signals_of(batch.column("text").to_pylist())]
        yield pa.RecordBatch.from_arrays(columns, names=[*batch.schema.names, "signals"])
