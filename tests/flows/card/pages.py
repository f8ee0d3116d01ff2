"""A report's page as a reader and a browser see it, for the report's tests."""

from html.parser import HTMLParser

from infra import storage
from infra.step import Task


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the tag."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Notes the text."""
        self.text += data

    @property
    def words(self) -> str:
        """The text with single spaces."""
        return " ".join(self.text.split())

    @property
    def addresses(self) -> list[str]:
        """Whatever a browser would load or open."""
        names = ("src", "href", "srcset", "xlink:href", "action", "data", "poster")
        return [value or "" for name, value in self.attributes if name in names]


def page_of(task: Task) -> Page:
    """The page that a finished report holds."""
    return Page(storage.read_bytes(task.artifact.file("report.html")).decode())
