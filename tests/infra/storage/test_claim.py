"""Claims: one works, the others wait for it, and a holder that died keeps nobody waiting."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from infra import storage
from infra.storage.claim import BEATS, _FileLock, claim
from tests.infra.processes import another_process, line_of

REPOSITORY = Path(__file__).parents[3]
WORKERS = 6
POLL_SECONDS = 0.01
STALE_SECONDS = 1.0

# Where two compete, the tests leave the default, a minute: a slow machine must not fail them.
soon = partial(claim, stale_seconds=STALE_SECONDS, poll_seconds=POLL_SECONDS)


def never() -> bool:
    """Work that is not there."""
    return False


@pytest.fixture
def uri(root: str) -> str:
    """Where a claim may be."""
    return storage.join(root, "_claims", "work")


def test_a_claim_leaves_nothing(root: str, uri: str) -> None:
    for _ in range(2):
        with soon(uri, never) as mine:
            assert mine
            assert storage.exists(uri)
        assert storage.list_files(root) == []


def test_an_exception_releases_the_claim(uri: str) -> None:
    with pytest.raises(RuntimeError), soon(uri, never):
        raise RuntimeError
    with soon(uri, never) as mine:
        assert mine


def test_work_that_is_done_is_nobodys(root: str, uri: str) -> None:
    with soon(uri, lambda: True) as mine:
        assert not mine
    assert storage.list_files(root) == []


def test_work_that_was_finished_just_before_the_claim_is_not_done_again(
    root: str, uri: str
) -> None:
    answers = iter([False, True])
    with soon(uri, lambda: next(answers)) as mine:
        assert not mine
        assert storage.list_files(root) == []


def test_threads_hold_it_one_at_a_time(root: str, uri: str) -> None:
    inside: list[int] = []
    together = threading.Barrier(WORKERS)

    def work(number: int) -> bool:
        together.wait()
        with claim(uri, never, poll_seconds=POLL_SECONDS) as mine:
            inside.append(number)
            alone = inside == [number]
            # Input and output give the others their chance to come in.
            storage.write_bytes(storage.join(root, "work"), b"%d" % number)
            alone = alone and inside == [number]
            inside.remove(number)
            return mine and alone

    with ThreadPoolExecutor(WORKERS) as pool:
        assert list(pool.map(work, range(WORKERS))) == [True] * WORKERS


def test_who_waits_for_a_thread_gets_its_work(uri: str) -> None:
    made = threading.Event()
    waiting = threading.Event()

    def is_made() -> bool:
        waiting.set()
        return made.is_set()

    with ThreadPoolExecutor(1) as pool, claim(uri, never) as mine:
        waiter = pool.submit(enters, claim(uri, is_made, poll_seconds=POLL_SECONDS))
        assert mine and waiting.wait(60)
        assert not waiter.done()
        made.set()
        assert waiter.result(timeout=60) is False


def enters(claimed: AbstractContextManager[bool]) -> bool:
    """What the claim says on entry."""
    with claimed as mine:
        return mine


HOLD = """
import sys
from infra.storage.claim import claim
with claim(sys.argv[1], lambda: False, stale_seconds=float(sys.argv[2])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def test_a_process_waits_for_another_and_follows_when_it_lets_go(uri: str) -> None:
    with another_process(HOLD, uri, "60") as holder:
        assert line_of(holder) == "True"
        asked = 0

        def let_go_at_the_third() -> bool:
            nonlocal asked
            asked += 1
            if asked == 3:
                assert holder.stdin is not None
                holder.stdin.close()
            return False

        with claim(uri, let_go_at_the_third, poll_seconds=POLL_SECONDS) as mine:
            assert mine
        assert asked > 3
        assert holder.wait(60) == 0


def test_a_killed_holder_is_taken_over(uri: str) -> None:
    with another_process(HOLD, uri, str(STALE_SECONDS)) as holder:
        assert line_of(holder) == "True"
        holder.kill()
        holder.wait(60)
        assert storage.exists(uri)
        with soon(uri, never) as mine:
            assert mine


def test_a_holder_on_s3_that_lives_is_not_taken_over(s3_root: str) -> None:
    uri = storage.join(s3_root, "work")
    beat_seconds, over = 0.1, threading.Event()
    with claim(uri, never, stale_seconds=BEATS * beat_seconds), ThreadPoolExecutor(1) as pool:
        first = storage.read_bytes(uri)
        waiter = pool.submit(enters, soon(uri, over.is_set))
        beats = seen_to_change(uri, first, times=int(2 * STALE_SECONDS / beat_seconds))
        assert all(beat.startswith(first) for beat in beats)
        over.set()
        assert waiter.result(timeout=60) is False


def seen_to_change(uri: str, content: bytes, times: int) -> list[bytes]:
    """The next contents of an object that is rewritten."""
    contents: list[bytes] = []
    until = time.monotonic() + 60
    while len(contents) < times:
        assert time.monotonic() < until
        found = storage.read_bytes(uri)
        if found != content:
            contents.append(content := found)
    return contents


def test_a_holder_on_s3_that_was_taken_over_leaves_the_claim_to_its_new_holder(
    s3_root: str,
) -> None:
    uri = storage.join(s3_root, "work")
    with soon(uri, never):
        storage.write_bytes(uri, b"another's")
    assert storage.read_bytes(uri) == b"another's"


def test_the_lock_of_a_file_that_lost_its_name_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "work"
    waiter = _FileLock(str(path))
    with path.open("ab") as opened:
        assert waiter._is_named(opened)
        path.unlink()
        assert not waiter._is_named(opened)
        path.touch()
        assert not waiter._is_named(opened)


def test_who_waits_says_so_once(uri: str) -> None:
    told: list[str] = []
    finished = iter([False, False, False, False, True])
    with (
        claim(uri, never),
        claim(
            uri, lambda: next(finished), poll_seconds=POLL_SECONDS, waits=lambda: told.append("")
        ) as mine,
    ):
        assert not mine
    assert told == [""]
