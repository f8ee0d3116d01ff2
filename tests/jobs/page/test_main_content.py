"""Main content: measured on pages with known main content, and what holds for any page."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.crawl import records
from jobs.page.main_content import main_content
from jobs.text.charset import decode

RESILIPARSE_ALONE = {
    "cleanportaleval": 0.812,
    "fundus": 0.901,
    "newspaper": 0.693,
    "newspaper4k": 0.831,
    "readability": 0.958,
    "scrapinghub": 0.903,
    "trafilatura": 0.842,
    "wcxb": 0.802,
    "cjk": 0.845,
}


def test_boilerplate_goes_and_the_article_stays() -> None:
    article = "".join(
        f"<p>Sentence {n} of the article says something worth reading, at some length.</p>"
        for n in range(9)
    )
    body = f"<nav><a href=/>Home</a></nav><article>{article}</article><footer>© Us</footer>"
    title, text = main_content(
        f"<html><head><title> A\n title </title></head><body>{body}</body></html>"
    )
    assert title == "A title"
    assert "Sentence 8" in text and "Home" not in text and "©" not in text


def test_a_page_of_which_almost_nothing_would_be_left_keeps_its_whole_text() -> None:
    items = "".join(
        f"<div class='comment'>Answer {n} is given here in full sentences.</div>" for n in range(20)
    )
    assert (
        "Answer 19" in main_content(f"<html><body><div id=comments>{items}</div></body></html>")[1]
    )


@pytest.mark.parametrize("name", ["class=author-note", "id=comments-page", "class=related-story"])
def test_an_article_whose_name_has_a_part_that_others_drop_stays(name: str) -> None:
    article = "".join(
        f"<p>Sentence {n} of the article says something worth reading, at some length.</p>"
        for n in range(40)
    )
    lead = "<p>What is told here happened a long time ago, in a town by the sea.</p>" * 6
    box = "<div class=author-bio><p>She writes about towns.</p></div>"
    page = f"<html><body><main>{lead}<div {name}>{article}</div>{box}</main></body></html>"
    assert "Sentence 39" in main_content(page)[1]


def test_what_names_its_author_is_no_main_content() -> None:
    article = "<p>A sentence of the article says something worth reading, at length.</p>" * 20
    box = "<div class=author-bio><p>She writes about towns.</p></div>"
    text = main_content(f"<html><body><main>{article}{box}</main></body></html>")[1]
    assert "worth reading" in text and "She writes" not in text


@given(st.text(max_size=300))
@settings(deadline=None)
def test_any_text_gives_a_title_and_main_content_that_can_be_stored(html: str) -> None:
    title, text = main_content(html)
    assert (title + text).encode().decode() == title + text
    assert (title, text) == (" ".join(title.split()), text.strip())


def test_main_content_scores_above_resiliparse_alone_on_every_set(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location(
        "score_extraction", shared / "accept" / "score_extraction.py"
    )
    assert spec and spec.loader
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    documents = tmp_path / "documents.jsonl"
    with documents.open("w") as out:
        for crawl in sorted((shared / "data" / "crawl").glob("w*.warc.gz")):
            for record in records(str(crawl)):
                if record.reason is None:
                    text = main_content(decode(record.payload, record.charset)[0])[1]
                    out.write(json.dumps({"url": record.url, "text": text}) + "\n")
    minima = [f"{name}={least}" for name, least in RESILIPARSE_ALONE.items()]
    monkeypatch.setattr(
        sys, "argv", ["score", str(documents), str(shared / "data" / "gold"), "--min-f1", *minima]
    )
    assert scorer.main() == 0
