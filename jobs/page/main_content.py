"""The main content of an HTML page: resiliparse's rules, corrected where they fail.

Without alternative texts of images and without the parts that `BOILERPLATE` names; where almost
nothing is left of a page that has more, its whole visible text. On eight sets of pages with known
main content this gains 0.9 to 3.8 points of F1 over resiliparse alone, and loses on none
(tests/jobs/page/test_main_content.py).
"""

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLParserException, HTMLTree

BOILERPLATE = [
    "footer",
    "[role=dialog]",
    "[id*=comment]",
    *(f"[class*={part}]" for part in ("related", "popup", "modal", "byline", "author", "caption")),
    *(f"[class*={part}]" for part in ("copyright", "disclaimer", "newsletter", "subscribe")),
]
SHORT_CHARS = 250
HIDDEN_RATIO = 2


def main_content(html: str) -> tuple[str, str]:
    """(title, main text) of a page: paragraphs and list items on lines of their own, blank lines
    between blocks. Never fails; both are empty for what cannot be parsed."""
    try:
        tree = HTMLTree.parse(html)
        title = " ".join((tree.title or "").split())
        text = extract_plain_text(
            tree, main_content=True, alt_texts=False, skip_elements=BOILERPLATE
        )
        if len(text) < SHORT_CHARS:
            everything = extract_plain_text(tree, alt_texts=False)
            if len(everything) > HIDDEN_RATIO * len(text):
                text = everything
    except (HTMLParserException, ValueError):
        return "", ""
    return title, text.strip()
