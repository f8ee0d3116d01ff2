"""Which records behind damage are the file's own, and which may be part of a page.

Where a length is wrong, the next header has to be searched for, and a page may hold whole records
in its body. What a search found is *unproven* until one of these holds:

    proven     it names an id that only the file's writer knows: the WARC-Warcinfo-ID that the
               records before the damage have, or WARC-Concurrent-To the record whose length was
               wrong. The writer made these at the time of the capture (WARC 1.1, sections 5.2, 5.7,
               5.12); a page cannot know them.
    recovered  it begins outside of what the wrong length covers, has the mandatory fields, and its
               own length covers no other record and ends within the file. Where records name a
               WARC-Warcinfo-ID, this is enough only after DOUBT_BYTES in which none was proven.

All others are accounted for and never kept, nor is what follows them. So a record that a crashed
writer cut costs, in a file without ids, also the records that its length covers.

What remains possible where records name no WARC-Warcinfo-ID (ARC has none): a page gets a record of
its own into the documents if the archive is not compressed record by record and its writer gave too
*short* a length to the page's record, or its header broke; or if the page's member broke and holds
compressed members of its own. Such a document is marked `recovered`. It is not where too short a
length ends exactly at a header in the page: that cannot be told from a record.
"""

from collections.abc import Mapping

RECORD_ID, WARCINFO_ID, CONCURRENT_TO = "warc-record-id", "warc-warcinfo-id", "warc-concurrent-to"
TYPE = "warc-type"
DOUBT_BYTES = 1 << 26


def is_of_the_writer(fields: Mapping[str, str]) -> bool:
    """Whether a record holds nothing that a page had a say in."""
    kind = fields.get(TYPE, "").lower()
    return kind in ("warcinfo", "request") or fields.get("url", "").startswith("filedesc:")


class Trust:
    """What is known of a file while it is read from its beginning to its end."""

    def __init__(self) -> None:
        self._writers: set[str] = set()
        self._named = False
        self._parent = ""
        self._last = ""
        self._searching = False
        self._doubt_end = 0

    def proves(self, fields: Mapping[str, str]) -> bool:
        """Whether the header of the next record, if it is one, is surely the file's own; its ids
        are then known."""
        mine = fields.get(WARCINFO_ID, "")
        if self._searching:
            concurrent = fields.get(CONCURRENT_TO, "")
            if not self.knows(fields) and (not concurrent or concurrent != self._parent):
                return False
            self._searching, self._doubt_end = False, 0
        self._last = fields.get(RECORD_ID, "")
        self._named |= bool(mine)
        self._writers |= {mine, self._last if fields.get(TYPE) == "warcinfo" else ""} - {""}
        return True

    def knows(self, fields: Mapping[str, str]) -> bool:
        """Whether a header names the file's writer by an id that a page cannot know."""
        return fields.get(WARCINFO_ID, "") in self._writers

    def may_be_body(self, position: int) -> bool:
        """Whether an unproven record that begins here may lie in a page."""
        return position < self._doubt_end

    def lost(self, end: int, *, parent: bool = False) -> None:
        """From here on records are searched for. end: where the wrong length ends, or what is
        broken; parent: whether it is the length of the record last proven."""
        if parent:
            self._parent = self._last
        self._searching = True
        margin = DOUBT_BYTES if self._named else 0
        self._doubt_end = max(self._doubt_end, end + margin)

    def recovered(self) -> None:
        """The record last asked for, though unproven, is taken for the file's own."""
        self._searching = False
