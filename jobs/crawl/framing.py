"""Where records begin and end in a WARC or ARC file, also in a damaged one.

Every frame found is yielded, every damaged stretch yields exactly one frame that says so, and
reading goes on at the next record. fastwarc's iterator stops at the first damage, takes a cut
record for a whole one and does not say how far it got; so the framing is here, and every byte of
the file belongs to a frame or to the blank lines between two.

A length is trusted where it ends on a boundary: the end of the file, a compressed member's
beginning, another header; however large it is, nothing is looked for in what it covers. Only where
it does not is the next record searched for:

    in a file compressed record by record   at the next member that begins with a header, which no
        page can forge: no frame begins inside a member. A file is one where each header so far
        began a member; in doubt, where the next members hold a record each.
    in any other file   at the next complete header, which may lie in a page's body: `jobs.crawl
        .trust` says what such a record must have to be kept. So is the next member after broken
        compression, since a stored block may hold a page's own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from jobs.crawl.headers import HEADER_BYTES, Format, Head
from jobs.crawl.record import RECORD_LENGTH, RECOVERED
from jobs.crawl.stream import WINDOW_BYTES, Stream
from jobs.crawl.trust import Trust, is_of_the_writer

ENDS_WITHIN = "the file ends within the record"
NOT_FOLLOWED = "not followed to its end: too many lengths before were wrong"
TOO_LONG = "the length in the header is too long"
UNPROVEN = "found behind damage, maybe in the body of a page: not taken for a record of this file"
MEMBERS_AHEAD = 4
LOOK_BYTES = WINDOW_BYTES // 2
"""How far the members behind a record are looked at, to tell how the file was compressed."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A record's place and content. `block` has at most the bytes asked for; `damage` says what is
    wrong, empty when nothing is; `truncated` what was found of its end: RECORD_LENGTH, RECOVERED or
    empty."""

    offset: int
    fields: Mapping[str, str] = field(default_factory=dict)
    block: bytes = b""
    size: int = 0
    damage: str = ""
    truncated: str = ""


def frames(stream: Stream, form: Format, block_bytes: int) -> Iterator[Frame]:
    """All frames of a file, in order. Of a block longer than `block_bytes` only its first megabyte
    is given. The stream's window must hold a block."""
    yield from _Walk(stream, form, block_bytes).frames()


class _Walk:
    """The way through one file."""

    def __init__(self, stream: Stream, form: Format, block_bytes: int) -> None:
        self.stream = stream
        self.form = form
        self.block_bytes = block_bytes
        self.trust = Trust()
        self.headers = 0
        self.all_began_members = stream.is_compressed
        self.is_by_record = False
        self.ahead: tuple[int, Head | None] = (-1, None)

    def frames(self) -> Iterator[Frame]:
        position = 0
        while True:
            position = self.skip_blank(position)
            self.stream.release(position)
            broken = self.stream.take_break(position, position, position + 1, -1)
            if broken:
                self.trust.lost(position)
                yield Frame(broken.member, damage=broken.what)
                continue
            if self.stream.at_end(position):
                return
            frame, position = self.frame(position)
            yield frame

    def frame(self, position: int) -> tuple[Frame, int]:
        """The frame that begins here, and where it ends."""
        stream, offset = self.stream, self.stream.offset(position)
        head = self.head(position)
        if head is None or not self.may_begin(position, head):
            return self.no_record(position, position + 1, offset, "no record header here", {})
        lost = stream.take_break(position + 1, head.body, head.body, offset)
        if lost:
            self.trust.lost(lost.at)
            return Frame(offset, size=lost.at - position, damage=lost.what), lost.at
        self.headers += 1
        self.all_began_members &= stream.starts_member(position)
        if head.length is None:
            damage = "no valid length in the header"
            return self.no_record(position, head.body, offset, damage, head.fields)
        return self.record(position, head, head.body + head.length, offset)

    def no_record(
        self, position: int, start: int, offset: int, damage: str, fields: Mapping[str, str]
    ) -> tuple[Frame, int]:
        """The frame of a stretch that is no record, up to the next one from `start` on."""
        if self.seems_by_record(position):
            after = self.next_record_member(position)
        else:
            self.trust.lost(start)
            after = self.form.next_head(self.stream, start)
        after = self.stream.end() if after is None else after
        self.stream.take_break(position + 1, after, after, offset)
        return Frame(offset, fields, size=after - position, damage=damage), after

    def record(self, position: int, head: Head, end: int, offset: int) -> tuple[Frame, int]:
        """The frame of a header with a length, by which its block ends at `end`."""
        stream = self.stream
        proven = self.trust.proves(head.fields)
        doubted = not proven and self.trust.may_be_body(position)
        is_large = end - head.body > self.block_bytes
        first = stream.read(head.body, head.body + HEADER_BYTES) if is_large else b""
        whole = stream.reach(end) if is_large else stream.fill(end)
        stop, damage, truncated = self.end_of(position, head, end, whole, proven)
        if doubted or (not proven and damage):
            return Frame(offset, head.fields, b"", stop - head.body, UNPROVEN), stop
        if not proven:
            self.trust.recovered()
            truncated = RECOVERED
        block = first[: stop - head.body] if is_large else stream.read(head.body, stop)
        return Frame(offset, head.fields, block, stop - head.body, damage, truncated), stop

    def end_of(
        self, position: int, head: Head, end: int, whole: bool, proven: bool
    ) -> tuple[int, str, str]:
        """Where the block really ends, what is wrong with it, and whether its length is too short.
        whole: whether the file goes on to `end`."""
        stream, offset, body = self.stream, self.stream.offset(position), head.body
        stop = end if whole else stream.end()
        after = self.skip_blank(stop) if whole else stop
        broken = stream.take_break(body, after, body, offset)
        if broken:
            self.trust.lost(broken.at)
            return min(stop, broken.at), broken.what, ""
        if whole and self.is_boundary(position, after):
            broken = stream.take_break(body, stop, stop, offset)
            return (min(stop, broken.at), broken.what, "") if broken else (stop, "", "")
        if self.seems_by_record(position):
            found = self.next_record_member(position)
            broken = stream.take_break(body, stream.end() if found is None else found, body, offset)
            if broken:
                self.trust.lost(broken.at)
                return broken.at, broken.what, ""
        else:
            stream.again(body)
            found = self.form.next_head(stream, body, end)
            if found is None or not (proven and is_of_the_writer(head.fields)):
                self.trust.lost(end, parent=proven)
        if found is not None and found < end:
            stream.take_break(body, found, found + 1, offset)
            return found, TOO_LONG, ""
        if whole:
            return stop, "", RECORD_LENGTH
        return stop, ENDS_WITHIN if stream.at_end(stop) else NOT_FOLLOWED, ""

    def is_boundary(self, position: int, after: int) -> bool:
        """Whether a record that begins at `position` may end where these bytes follow."""
        stream = self.stream
        if stream.at_end(after) or stream.starts_member(after):
            return True
        if stream.break_at(after) is not None:
            return True
        head = self.head(after)
        if head is None:
            return False
        if self.all_began_members and not self.is_by_record and not self.trust.knows(head.fields):
            self.is_by_record = self.holds_one_each(position)
        return self.may_begin(after, head)

    def may_begin(self, position: int, head: Head) -> bool:
        """Whether a record may have its header here: not inside a member of a file compressed
        record by record, unless its writer is the file's."""
        inside = self.is_by_record and not self.stream.starts_member(position)
        return not inside or self.trust.knows(head.fields)

    def seems_by_record(self, position: int) -> bool:
        """Whether each record of the file is a compressed member of its own, as far as it shows
        from the one that begins here."""
        if not self.all_began_members or self.is_by_record or self.headers > 1:
            return self.all_began_members
        member = self.stream.next_member(position, position + LOOK_BYTES)
        return member is not None and self.member_head(member) is not None

    def holds_one_each(self, position: int) -> bool:
        """Whether the members behind this one hold one record each; where there are none, whether
        those before it did."""
        member = self.stream.next_member(position, position + LOOK_BYTES)
        if member is None:
            return self.headers > 2
        for _ in range(MEMBERS_AHEAD):
            head = self.head(member)
            if head is None or head.length is None or head.length > LOOK_BYTES // MEMBERS_AHEAD:
                return False
            after = self.skip_blank(head.body + head.length)
            if self.stream.at_end(after):
                return True
            if not self.stream.starts_member(after):
                return False
            member = after
        return True

    def next_record_member(self, position: int) -> int | None:
        """Where the next member begins that begins with a header."""
        member = self.stream.next_member(position)
        while member is not None and self.member_head(member) is None:
            member = self.stream.next_member(member)
        return member

    def member_head(self, member: int) -> Head | None:
        """The header at a member's beginning, which may have been let go."""
        self.stream.again(member)
        return self.head(member)

    def head(self, position: int) -> Head | None:
        """The header that begins here."""
        if self.ahead[0] != position:
            self.ahead = (position, self.form.head(self.stream, position))
        return self.ahead[1]

    def skip_blank(self, position: int) -> int:
        """The first byte from here on that is no line end."""
        while True:
            here = self.stream.read(position, position + 64)
            blank = len(here) - len(here.lstrip(b"\r\n"))
            position += blank
            if blank < 64:
                return position
