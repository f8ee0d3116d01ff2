"""Numbers and text as people read them."""

import json
import re
from typing import Any

STEERING = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What does not show but steers whoever shows it: control characters (a terminal's sequences begin
with ESC or U+009B), ends of lines, marks that turn the direction of writing; and lone surrogates.
Tabs do no harm."""
LOGIN = re.compile(r"//[^\s/?#]+@")


def well_formed(text: str) -> str:
    """The text with `?` for each lone surrogate (a byte of a file's name that is no UTF-8, say),
    which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def printable(text: str, *, lines: bool = False) -> str:
    """The text with `\\xNN` or `\\uNNNN` for each character that steers a terminal, so that it
    stays on its line and shows in the order of its characters. What is printable already stays.

    lines  line feeds stay: for a text of several lines
    """

    def said(found: re.Match[str]) -> str:
        number = ord(found[0])
        if lines and found[0] == "\n":
            return found[0]
        return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"

    return STEERING.sub(said, text)


def error_line(message: str) -> str:
    """A message as people may read it: printable, and without user and password where it repeats
    an address, whatever stands before the `//`."""
    return printable(LOGIN.sub("//", message))


def json_line(value: Any) -> str:
    """A value as JSON on one line, readable, where what steers a terminal is escaped as JSON
    does: whoever parses it gets the value itself."""
    return escaped_json(json.dumps(value, ensure_ascii=False))


def escaped_json(text: str) -> str:
    """A JSON text, of several lines maybe, that steers no terminal; it says the same."""
    return STEERING.sub(lambda found: "\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)


def duration(seconds: float) -> str:
    """Two units at most: 4.21 -> `4.2 s`; 83.2 -> `1 min 23 s`; 3725 -> `1 h 02 min`."""
    if seconds < 59.95:  # from here on one decimal would read 60.0 s
        return f"{seconds:.1f} s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest:02d} min"
