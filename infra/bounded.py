"""A function on bytes in a child process that may be lost: a budget of time and memory a call.

For native code that cannot be interrupted and is given what strangers wrote. The child is asked
over pipes, one call at a time, in frames of bytes (no pickle). The kernel is its guard: a timer of
the child's own processor seconds (`ITIMER_PROF`) ends it, never wall time, so that a busy machine
changes no result; its address space has a limit (`RLIMIT_AS`); and a call during which more memory
was resident than its budget has failed whatever it made, since native code that is refused memory
may go on with less.

What a call comes to must follow from the call alone, not from those before it (memory in pieces, a
heap that an earlier one broke). So the child that a call is the end of must have had no other: if
it had, the call is repeated in a new one. That costs 0.06 s; hence no fork server.

    child:   `serve(function)`        parent:   `Bounded(module, budget).ask(*parts)`
"""

import atexit
import contextlib
import fcntl
import os
import resource
import signal
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from infra.errors import GristmillError, TransientError
from infra.owner import die_with_parent
from infra.process import Piped, piped
from infra.usage import peak_resident_bytes

ADDRESS_SPACE_BUDGETS = 2
"""The address space is limited to so many budgets: not all memory that is asked for is used."""
PIPE_BYTES = 1 << 20
"""More than most requests, so that the two processes take turns once a call."""
MEMORY_EXIT = 77
OWN_FAULTS = {
    *(signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE),
    *(signal.SIGTRAP, signal.SIGSYS),
}
"""The signals by which a process ends itself; others come from outside."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one call may use: processor seconds (user and system), and resident memory beyond what
    the child has before its first call."""

    cpu_seconds: float
    memory_bytes: int


class BudgetError(Exception):
    """A call has no result; the message says why."""


class OverTime(BudgetError):
    """It used more than its processor seconds, or the function says that it would."""


class OverMemory(BudgetError):
    """It used more than its memory, or the function says that it would."""


class Crashed(BudgetError):
    """It ended its process, or the function raised another exception."""


ANSWERED = b"answered"
ERRORS = {kind.__name__.encode(): kind for kind in (OverTime, OverMemory, Crashed)}
Parts = Sequence[bytes]


class Bounded:
    """The parent's side. The child is started by the first call.

    module  what the child runs (`python -m module`): it calls `serve`
    """

    def __init__(self, module: str, budget: Budget) -> None:
        self.module = module
        self.budget = budget
        self._lock = threading.Lock()
        self._process: Piped | None = None
        self._inherited_bytes = 0
        atexit.register(self.close)

    def ask(self, *parts: bytes) -> list[bytes]:
        """What the module's function makes of these parts.

        Raises OverTime, OverMemory or Crashed, which follow from the parts alone; TransientError
        when the child was killed from outside, GristmillError when it cannot start.
        """
        with self._lock:
            while True:
                process, was_used = self._process, self._process is not None
                if process is None:
                    process = self._process = self._started()
                answer = _exchange(process, parts)
                if answer is None:
                    self._process = None
                    end = self._end_of(process)
                    if was_used:
                        continue
                    raise end
                kind, *values = answer
                if kind == ANSWERED:
                    return values
                raise ERRORS[kind](values[0].decode("utf-8", "replace"))

    def close(self) -> None:
        """End the child; the next call starts another."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            os.kill(process.pid, signal.SIGKILL)  # `Popen.kill` may reap it
            _ended(process)

    def _started(self) -> Piped:
        budget = (str(self.budget.cpu_seconds), str(self.budget.memory_bytes))
        process = piped(
            [sys.executable, "-m", self.module, *budget],
            {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdin is not None and process.stdout is not None
        for stream in (process.stdin, process.stdout):
            # The system may give a user no more than it has.
            with contextlib.suppress(OSError):
                fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        hello = _read(process.stdout)
        if hello is None:
            code, _ = _ended(process)
            raise GristmillError(
                f"{self.module} ended with code {code} before it could be asked; is the"
                " environment of this Python whole? Its error is in the log"
            )
        self._inherited_bytes = int(hello[0])
        return process

    def _end_of(self, process: Piped) -> Exception:
        """What the end of a child means for the call that it was busy with."""
        code, peak_bytes = _ended(process)
        memory = f"more than {self.budget.memory_bytes >> 20} MiB of memory"
        if code == MEMORY_EXIT:
            return OverMemory(memory)
        if code == -signal.SIGPROF:
            return OverTime(f"more than {self.budget.cpu_seconds:g} s of processor time")
        if code >= 0:
            return Crashed(f"exit code {code}")
        name = signal.Signals(-code).name
        if -code not in OWN_FAULTS:
            return TransientError(
                f"{self.module} was killed by {name}, not by itself: out of memory? Run again with"
                " fewer workers or more memory"
            )
        # The allocation that failed may have been as large as all before it together. The peak that
        # the kernel tells counts what the parent had when it forked.
        if peak_bytes > max(self._inherited_bytes, self.budget.memory_bytes // 2):
            return OverMemory(f"{memory} ({name})")
        return Crashed(name)


def serve(function: Callable[[list[bytes]], Parts]) -> None:
    """The child's side: answer calls until the parent is gone. The budget is in the arguments."""
    die_with_parent(signal.SIGKILL)
    cpu_seconds, memory_bytes = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = _address_space_bytes() + ADDRESS_SPACE_BUDGETS * memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What native code prints when it ends the process would fill the parent's log.
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    inherited_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    _write(answers, [str(inherited_bytes).encode()])
    peak_bytes = _peak_bytes() + memory_bytes
    while (parts := _read(requests)) is not None:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            answer = [ANSWERED, *function(parts)]
        except BudgetError as error:
            answer = [type(error).__name__.encode(), str(error).encode()]
        except MemoryError:
            os._exit(MEMORY_EXIT)
        except Exception as error:
            said = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
            answer = [Crashed.__name__.encode(), said]
        if _peak_bytes() > peak_bytes:
            os._exit(MEMORY_EXIT)
        _write(answers, answer)


def _exchange(process: Piped, parts: Parts) -> list[bytes] | None:
    """The child's answer; None if it ended instead."""
    assert process.stdin is not None and process.stdout is not None
    try:
        _write(process.stdin, parts)
    except BrokenPipeError:
        return None
    return _read(process.stdout)


def _ended(process: Piped) -> tuple[int, int]:
    """The exit code of a child that has ended, or is about to, and its peak memory in bytes."""
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            if stream is not None:
                stream.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_maxrss << 10


def _address_space_bytes() -> int:
    """The size of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _peak_bytes() -> int:
    """The largest resident size of this program so far."""
    peak_bytes = peak_resident_bytes()
    assert peak_bytes is not None
    return peak_bytes


def _write(stream: IO[bytes], parts: Parts) -> None:
    """One frame: the number of parts, their lengths, the parts."""
    stream.write(struct.pack(f"<I{len(parts)}Q", len(parts), *map(len, parts)))
    for part in parts:
        stream.write(part)
    stream.flush()


def _read(stream: IO[bytes]) -> list[bytes] | None:
    """One frame; None where the stream ends before it does."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (count,) = struct.unpack("<I", head)
    sizes = stream.read(8 * count)
    if len(sizes) < 8 * count:
        return None
    lengths = list(struct.unpack(f"<{count}Q", sizes))
    parts = [stream.read(length) for length in lengths]
    return parts if list(map(len, parts)) == lengths else None
