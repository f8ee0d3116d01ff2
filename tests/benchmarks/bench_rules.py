"""The default rules beside datatrove's filters, rule by rule, on English pages of a real crawl.

    python -m tests.benchmarks.bench_rules texts 'crawl/*.warc.gz' TEXTS.jsonl
    DATATROVE_PYTHON -m tests.benchmarks.bench_rules verdicts TEXTS.jsonl VERDICTS.jsonl
    python -m tests.benchmarks.bench_rules compare TEXTS.jsonl VERDICTS.jsonl

The second command runs in an environment of its own with datatrove 0.10.1 and spacy, which nothing
else here needs. The third prints one JSON object: rule -> pages decided alike, dropped by us,
dropped by datatrove.
"""

import json
import sys
from collections import Counter
from glob import glob
from pathlib import Path
from typing import Any


def main(mode: str, given: str, made: str) -> None:
    """Run one of the three commands."""
    if mode == "texts":
        _write(Path(made), list(texts(sorted(glob(given)))))
    elif mode == "verdicts":
        _write(Path(made), [verdicts(row["text"]) for row in _read(Path(given))])
    else:
        found = compare([row["text"] for row in _read(Path(given))], _read(Path(made)))
        sys.stdout.write(json.dumps(found, indent=1) + "\n")


def texts(crawl: list[str]) -> list[dict[str, Any]]:
    """The English documents of crawl files."""
    from jobs.crawl import Origin, records
    from jobs.page.document import document

    origin = Origin("", "", bytes(8))
    rows = (document(record, origin, 1) for file in crawl for record in records(file))
    return [{"text": row["text"]} for row in rows if row["lang"] == "en"]


def verdicts(text: str) -> dict[str, bool]:
    """Rule -> whether datatrove keeps a text by that rule alone."""
    from datatrove.data import Document

    return {
        name: rule.filter(Document(text=text, id="")) is True for name, rule in rivals().items()
    }


def rivals() -> dict[str, Any]:
    """datatrove's filters with all but one of their rules turned off."""
    from datatrove.pipeline import filters

    def quality(**on: Any) -> Any:
        off = ("min_doc_words", "max_doc_words", "min_avg_word_length", "max_avg_word_length")
        off += ("max_symbol_word_ratio", "max_bullet_lines_ratio", "max_ellipsis_lines_ratio")
        off += ("max_non_alpha_words_ratio", "min_stop_words")
        return filters.GopherQualityFilter(**{**dict.fromkeys(off, 0), **on})

    def repetition(**on: Any) -> Any:
        off = ("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac")
        none = {**dict.fromkeys(off, 0), "top_n_grams": (), "dup_n_grams": ()}
        return filters.GopherRepetitionFilter(**{**none, **on})

    def c4(**on: Any) -> Any:
        off = ("filter_no_terminal_punct", "filter_lorem_ipsum", "filter_javascript")
        off += ("filter_curly_bracket", "filter_policy", "remove_citations")
        bounds = ("min_num_sentences", "min_words_per_line", "max_word_length")
        none = {**dict.fromkeys(off, False), **dict.fromkeys(bounds, -1)}
        return filters.C4QualityFilter(**{**none, **on})

    def fineweb(**on: Any) -> Any:
        none = {"short_line_thr": 9, "char_duplicates_ratio": 9, "new_line_ratio": 1e9}
        return filters.FineWebQualityFilter(**{"line_punct_thr": 0, **none, **on})

    repeated = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    return {
        "c4_curly_bracket": c4(filter_curly_bracket=True),
        "c4_lorem_ipsum": c4(filter_lorem_ipsum=True),
        "c4_sentences": c4(min_num_sentences=3),
        "fineweb_char_dup": fineweb(char_duplicates_ratio=0.01),
        "fineweb_line_punct": fineweb(line_punct_thr=0.12),
        "fineweb_new_lines": fineweb(new_line_ratio=0.3),
        "fineweb_short_lines": fineweb(short_line_thr=0.67),
        "gopher_alpha_words": quality(max_non_alpha_words_ratio=0.8),
        "gopher_bullet_lines": quality(max_bullet_lines_ratio=0.9),
        "gopher_dup_lines": repetition(dup_line_frac=0.3, dup_line_char_frac=0.2),
        "gopher_dup_ngrams": repetition(dup_n_grams=repeated),
        "gopher_dup_paragraphs": repetition(dup_para_frac=0.3, dup_para_char_frac=0.2),
        "gopher_ellipsis_lines": quality(max_ellipsis_lines_ratio=0.3),
        "gopher_stop_words": quality(min_stop_words=2),
        "gopher_symbols": quality(max_symbol_word_ratio=0.1),
        "gopher_top_ngrams": repetition(top_n_grams=((2, 0.2), (3, 0.18), (4, 0.16))),
        "gopher_word_count": quality(min_doc_words=50, max_doc_words=100_000),
        "gopher_word_length": quality(min_avg_word_length=3, max_avg_word_length=10),
    }


def compare(pages: list[str], theirs: list[dict[str, bool]]) -> dict[str, list[int]]:
    """Rule -> [decided alike, dropped by us, dropped by them]; `pages` first."""
    import pyarrow as pa

    from jobs.filter import default_rules
    from jobs.text import rules
    from jobs.text.signals import SIGNALS, signals_of

    columns = [pa.array(["en"] * len(pages)), *signals_of(pages).flatten()]
    rows = pa.table(columns, names=["lang", *SIGNALS])
    found = {"pages": [len(pages)]}
    for name, rule in default_rules().items():
        ours = [reason is None for reason in rules.reasons(rows, {name: rule}, []).to_pylist()]
        pairs = Counter(zip(ours, (row[name] for row in theirs), strict=True))
        alike = pairs[True, True] + pairs[False, False]
        dropped = pairs[False, False]
        found[name] = [alike, dropped + pairs[False, True], dropped + pairs[True, False]]
    return found


def _write(file: Path, rows: list[Any]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _read(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main(*sys.argv[1:])
