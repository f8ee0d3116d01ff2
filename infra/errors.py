"""The failures that a user sees, each one line with a remedy.

Their input was wrong (UsageError), the network failed or a process was lost (TransientError), a
file of the lake is gone or altered (DamagedError), or the data or a tool failed (any other
GristmillError).
"""

import difflib
from collections.abc import Iterable

from infra.show import error_line


class GristmillError(Exception):
    """A step could not finish; the message is one line that says what, where, and what to do. It
    may repeat what stands in a page, a name or an address: what would steer a terminal is escaped,
    a login left out."""

    def __init__(self, message: str = "") -> None:
        super().__init__(error_line(message))


class UsageError(GristmillError):
    """A key, path, URI or value given by the user is wrong; nothing was written.

    The command exits with code 2.
    """


class DamagedError(GristmillError):
    """What lies in the lake is not what was written there: it must be made again."""


class TransientError(GristmillError):
    """A failure of the network or of a lost process: trying again may help."""


MOST_LISTED = 25


def nearest(word: str, choices: Iterable[str]) -> str:
    """`; nearest: 'x'` for the most similar of `choices`, else the list of them if it is short."""
    names = sorted(choices)
    found = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if found:
        return f"; nearest: '{found[0]}'"
    return f"; one of: {', '.join(names)}" if 0 < len(names) <= MOST_LISTED else ""
