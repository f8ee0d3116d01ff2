"""Child process trees: started, followed by JSON-line events, and gone when their owner is. Nobody else starts a process.

A child prints one JSON object a line for each event (`emit`); every other line of its output goes to its log file. `Child.stop`
sends SIGTERM to the whole tree, waits, then SIGKILLs whatever is left, also what left the process group (torchrun's ranks live in
sessions of their own): every process of the tree carries a token in its environment. What a child leaves behind when it ends is
stopped too. A child that calls `die_with_parent` also goes when its owner is killed with -9.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from infra.errors import GristmillError, TransientError, UsageError

TOKEN = "GRISTMILL_TREE"
PARENT = "GRISTMILL_PARENT"
GRACE_SECONDS = 30.0
PR_SET_PDEATHSIG = 1


def emit(event: str, **fields: Any) -> None:
    """Tell the owner: one JSON line on standard output. Called in the child."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def emit_failure(error: GristmillError) -> None:
    """Tell the owner that the child failed, and of what kind the failure is."""
    emit(
        "failed",
        message=str(error),
        usage=isinstance(error, UsageError),
        transient=isinstance(error, TransientError),
    )


def failure_of(event: Mapping[str, Any]) -> GristmillError:
    """The error that a `failed` event stands for."""
    kind = (
        UsageError
        if event.get("usage")
        else TransientError
        if event.get("transient")
        else GristmillError
    )
    return kind(event["message"])


def die_with_parent(sign: int = signal.SIGTERM) -> None:
    """Ask the kernel to send `sign` to this process when its parent dies. Called first thing in a child."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, sign)
        if owner_is_gone():
            os.kill(os.getpid(), sign)


def owner_is_gone() -> bool:
    """Whether the process that started this one's tree has ended, reaped or not; False for a process that no `Child` started."""
    owner = int(os.environ.get(PARENT, "0"))
    try:
        return owner != 0 and psutil.Process(owner).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def output_of(command: Sequence[str]) -> str:
    """What a short command prints, stripped; empty when it fails or is not installed."""
    try:
        return subprocess.run(
            list(command), capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        return ""


@cache
def _starter() -> ThreadPoolExecutor:
    """The one thread that starts children. It lives as long as this process, because the kernel sends the signal of
    `die_with_parent` when the *thread* that started the child ends, and a flow may run a step in a thread that ends before."""
    return ThreadPoolExecutor(1, "process-starter")


os.register_at_fork(after_in_child=_starter.cache_clear)


class Child:
    """A running child process tree; use it as a context manager so that it never outlives the block.

    command   argument list (never a shell string)
    log       file that receives the standard error and the output lines that are no events
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = list(command)
        self.log = log
        self.token = uuid.uuid4().hex
        lineage = ":".join(filter(None, [os.environ.get(TOKEN), self.token]))
        given = {
            **os.environ,
            **(environment or {}),
            TOKEN: lineage,
            PARENT: str(os.getpid()),
            "PYTHONUNBUFFERED": "1",
        }
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("ab")
        try:
            self._process = _starter().submit(self._start, given).result()
        except OSError as error:
            self._log.close()
            raise GristmillError(
                f"cannot start {self.command[0]}: {error.strerror}; is it installed?"
            ) from None
        threading.Thread(target=self._end_the_rest, daemon=True).start()

    def _start(self, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id of the tree's root."""
        return self._process.pid

    def send(self, request: Mapping[str, Any]) -> None:
        """Write one JSON line to the child's standard input. Raises GristmillError when the child has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps(request) + "\n").encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self.failure("the child process") from None

    def close_input(self) -> None:
        """No more requests: the child sees the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def events(self) -> Iterator[dict[str, Any]]:
        """The child's events as they come, until its output ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b'{"event": '):
                try:
                    yield json.loads(line)
                    continue
                except ValueError:
                    pass
            self._log.write(line)
            self._log.flush()

    def wait(self) -> int:
        """The exit code, once the child has ended."""
        return self._process.wait()

    def failure(self, what: str) -> GristmillError:
        """An error that ends with the most telling line of the log and says where the rest is; for a child whose output has ended."""
        lines = [
            line.strip()
            for line in self.log.read_text(errors="replace").splitlines()[-200:]
            if line.strip()
        ]
        telling = [line for line in lines if "Error" in line or "Exception" in line]
        said = (telling or lines or ["no output"])[-1][:300]
        code = self.wait()
        ended = (
            f"was killed by {signal.Signals(-code).name}"
            if code < 0
            else f"failed with exit code {code}"
        )
        return GristmillError(f"{what} {ended}: {said} (log: {self.log})")

    def tree(self) -> list[psutil.Process]:
        """All living processes of the tree, also those whose parent is gone."""
        found = []
        for process in psutil.process_iter():
            try:
                if (
                    self.token in process.environ().get(TOKEN, "").split(":")
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """SIGTERM to the whole tree, `grace_seconds` to finish, SIGKILL for the rest. Returns when all are gone."""
        alive = self.tree()
        for process in alive:
            _signal(process, signal.SIGTERM)
        self._await(alive, grace_seconds)
        while left := self.tree():
            for process in left:
                _signal(process, signal.SIGKILL)
            self._await(left, 5.0)
        self._process.wait()

    def _await(self, processes: list[psutil.Process], seconds: float) -> None:
        """Until these have ended, at most so long. The root is left to Popen, or its exit code would be lost."""
        until = time.monotonic() + seconds
        psutil.wait_procs(
            [process for process in processes if process.pid != self.pid], timeout=seconds
        )
        if any(process.pid == self.pid for process in processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, until - time.monotonic()))

    def _end_the_rest(self) -> None:
        """What the root leaves running would hold its output open, and `events` would never end."""
        self._process.wait()
        self.stop()

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            for stream in (self._process.stdin, self._process.stdout, self._log):
                if stream is not None:
                    try:
                        stream.close()
                    except BrokenPipeError:
                        continue


def usage() -> tuple[float, int]:
    """CPU seconds of this process and its descendants so far, and the sum of their peak memory in bytes (an upper bound)."""
    cpu_seconds, peak_bytes = 0.0, 0
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        try:
            times = process.cpu_times()
            cpu_seconds += (
                times.user
                + times.system
                + getattr(times, "children_user", 0.0)
                + getattr(times, "children_system", 0.0)
            )
            status = Path(f"/proc/{process.pid}/status")
            high = (
                [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
                if status.exists()
                else []
            )
            peak_bytes += 1024 * int(high[0].split()[1]) if high else process.memory_info().rss
        except (psutil.Error, OSError):
            continue
    return cpu_seconds, peak_bytes


def _signal(process: psutil.Process, sign: int) -> None:
    try:
        process.send_signal(sign)
    except psutil.NoSuchProcess:
        return


def run(
    command: Sequence[str], log: Path, what: str, environment: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """Run a child to its end and yield its events. Raises GristmillError when it fails (`failed` event or exit code)."""
    with Child(command, log, environment) as child:
        child.close_input()
        for event in child.events():
            if event["event"] == "failed":
                raise failure_of(event)
            yield event
        if child.wait() != 0:
            raise child.failure(what)
