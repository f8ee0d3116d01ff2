"""What each column of the lake means: one table a kind of file, for the reference.

A column's meaning is said here alone; names and types are the schemas' own. A table names every
column of its schema, a test holds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from jobs import extract, filter
from jobs.near_duplicates.signatures import SIGNED
from jobs.spark import corpus, listed
from jobs.text.signals import C4, FINEWEB, GOPHER, SIGNALS
from jobs.tokens.encoding import ENCODED

ROW, SHARD = "the row's number in its shard's first layer", "number of the shard in the artifact"


@dataclass(frozen=True)
class Table:
    """The columns of a kind of file.

    name      what the rows are
    place     where the files lie below the lake's root
    schema    names and types
    meanings  column -> what it says
    """

    name: str
    place: str
    schema: pa.Schema
    meanings: Mapping[str, str]


ROW_ID = (
    "16 bytes that no other row of a crawl has: 8 of the crawl file's content (and which of the"
    " files with that content it is), 8 of the record's number in it"
)
DOCUMENT = {
    "row_id": ROW_ID,
    "doc_id": "16 bytes of URL and content (BLAKE2b over the URL and SHA-256 of the payload): the"
    " same page has the same wherever it was stored",
    "url": "address of the page",
    "domain": "host of the URL, without `www.` and port; empty where it has none",
    "source": "which crawl: declared (`--input web=crawl/*.warc.gz`), else the file's folder",
    "warc_file": "base name of the crawl file",
    "warc_offset": "byte offset in it: of the record, or of the compressed member that its first"
    " byte is in; of a JSONL line in the decompressed file; row number in Parquet",
    "fetched_at": "time of capture, null where unknown",
    "mime": "content type in lower case without parameters: HTTP's, else the record's, else by the"
    " file's format",
    "charset": "what the text was decoded by; of a rejected row what was declared",
    "lang": "ISO 639-1, or 639-2 or -3 where there is none, or `unknown` (`jobs.text.language`);"
    " null for a rejected row",
    "lang_score": "how sure that is, 0 to 1; null for a rejected row",
    "title": "title of the page, its first 2,000 characters; null without one",
    "extractor": "`resiliparse` for a page's main content, `verbatim` for text",
    "text": "the text that models learn from",
    "n_bytes": "bytes of the text in UTF-8",
    "n_chars": "its code points",
    "n_words": "its words (`jobs.text.words`)",
    "truncated": "why it may not be all that the server had: one of `jobs.crawl.record.TRUNCATED`;"
    " null where nothing says so",
    "http_headers": "the response's status line and headers (`jobs.crawl.evidence`); null without",
    "evidence": "of a row rejected as `robots_txt` the site's rules for crawlers, at most 500 KiB",
    "reject_reason": "why it is no document, see [reasons](reasons.md); null for a document",
    "detail": "what exactly was wrong, for people; null where there is nothing to add",
}
TOP_NGRAM = (
    "share of the characters that the occurrences of the most frequent {}-gram have; 0 when none"
    " occurs twice. " + GOPHER
)
DUP_NGRAM = (
    "share of the characters that lie in {}-grams that occurred before, each counted once. "
    + GOPHER
)
SIGNAL = {
    "word_count": f"words. {GOPHER}",
    "mean_word_length": f"characters a word. {GOPHER}",
    "hash_ratio": f"`#` signs a word. {GOPHER}",
    "ellipsis_ratio": f"`...` and `…` a word. {GOPHER}",
    "bullet_line_ratio": f"share of lines that start with a bullet. {GOPHER}",
    "ellipsis_line_ratio": f"share of lines that end with an ellipsis. {GOPHER}",
    "alpha_word_ratio": f"share of words with at least one letter. {GOPHER}",
    "stop_words": "how many of the eight words the, be, to, of, and, that, have, with occur."
    f" {GOPHER}",
    "dup_line_ratio": f"share of lines that occurred before. {GOPHER}",
    "dup_paragraph_ratio": f"share of paragraphs that occurred before. {GOPHER}",
    "dup_line_char_ratio": f"share of the characters in such lines. {GOPHER}",
    "dup_paragraph_char_ratio": f"share of the characters in such paragraphs. {GOPHER}",
    **{f"top_{n}gram_ratio": TOP_NGRAM.format(n) for n in (2, 3, 4)},
    **{f"dup_{n}gram_ratio": DUP_NGRAM.format(n) for n in (5, 6, 7, 8, 9, 10)},
    "line_count": f"lines that are not empty. {C4}",
    "terminal_line_ratio": "share of lines that end as a sentence does, or in a quotation mark."
    f" {C4}",
    "javascript_line_ratio": f"share of lines with the word javascript. {C4}",
    "lorem_ipsum": f"occurrences of `lorem ipsum`. {C4}",
    "curly_brackets": f"occurrences of `{{`. {C4}",
    "sentences": f"sentence ends (`jobs.text.sentences`). {C4}",
    "line_punct_ratio": "share of lines that end as a sentence does: terminal marks alone."
    f" {FINEWEB}",
    "short_line_ratio": f"share of lines of at most 30 characters. {FINEWEB}",
    "char_dup_ratio": f"characters in lines that occurred before, by all characters. {FINEWEB}",
    "new_line_ratio": "ends of lines a word, at most 1; blank lines not counted: trafilatura, whose"
    " texts FineWeb counted, parts blocks by one line end, we by two. datatrove's `list_ratio`",
    "unspaced_word_ratio": "share of words that are one sign of a script with one word a character:"
    " where it is high, the length and the repetition of words say nothing",
}
SIGNATURE = {
    "row": ROW,
    "row_id": "of the document",
    "doc_id": "of the document",
    "length": "code points of the text",
    "content": "16 bytes, equal for equal normalised texts",
    "shingles": "sorted distinct hashes of its word n-grams, packed uint64",
    "bands": "LSH keys; none for a text under `shingle_words` words",
}
KEPT_ROW = {
    "shard": SHARD,
    "row": ROW,
    "row_id": "of the document",
    "doc_id": "of the document",
    "url": "of the document",
    "dup": "its cluster: `cluster`, doc_id of the best document (its own for a unique one); `size`,"
    " documents in it; `jaccard`, similarity for which a removed one went, null for a kept one;"
    " `reason`, `exact` or `near`, null for a kept one",
}
TOKEN_ROW = {
    "doc_id": "of the document",
    "source": "of the document",
    "tokens": "the tokens, packed: little-endian uint16 where the vocabulary has at most 65,536,"
    " else uint32 (`details.dtype`); the last one is the end of text",
    "n_tokens": "how many",
    "n_bytes": "UTF-8 bytes of the text that they stand for",
    "split": "`train` or `val`",
}
ENCODED_ROW = {
    "row": ROW,
    "row_id": "of the document",
    "part": "0 for a document's first row, 1 for the second of one that `split_by: tail` cuts",
    **TOKEN_ROW,
    "split": "`train` or `val` where `split_by: tail` cuts, else null",
}
NO_TOKENS = {
    "shard": SHARD,
    "row": ROW,
    "row_id": "of the document",
    "doc_id": "of the document",
    "source": "of the document",
    "reject_reason": "`no_tokens`",
}
DECIDED = {"reject_reason": "the first rule that it fails, null for a row that stays"}
SIGNAL_SCHEMA = pa.schema([pa.field(name, kind) for name, kind in SIGNALS.items()])

TABLES = (
    Table("documents", "shards/extract/", extract.KEPT, DOCUMENT),
    Table("rejected records", "shards/extract/_rejected/", extract.REJECTED, DOCUMENT),
    Table("signals, a struct of these", "shards/signals/", SIGNAL_SCHEMA, SIGNAL),
    Table("decisions", "shards/filter/", filter.DECISION, DECIDED),
    Table("signatures", "shards/signatures/", SIGNED, SIGNATURE),
    Table("kept rows", "dedup/", listed.LISTED, KEPT_ROW),
    Table(
        "removed rows",
        "dedup/, in _rejected/",
        listed.REMOVED,
        {**KEPT_ROW, "reject_reason": "`exact_duplicate` or `near_duplicate`"},
    ),
    Table("encoded texts", "shards/encoded/", ENCODED, ENCODED_ROW),
    Table("tokens", "tokens/", corpus.WRITTEN, TOKEN_ROW),
    Table("documents without a token", "tokens/, in _rejected/", corpus.REJECTED, NO_TOKENS),
)
