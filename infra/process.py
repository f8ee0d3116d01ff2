"""Child process trees: started, followed by JSON-line events, and gone when their owner is. Nobody
else starts a process.

A child prints one JSON object a line for each event (`emit`); every other line of its output goes
to its log file. `Child.stop` sends SIGTERM to the whole tree, waits, then SIGKILLs whatever is
left, also what left the process group (torchrun's ranks live in sessions of their own): every
process of the tree carries a token in its environment. What a child leaves behind when it ends is
stopped too. A child that calls `infra.owner.die_with_parent` goes when its owner is killed with -9.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeAlias

import psutil

from infra.errors import GristmillError, TransientError, UsageError
from infra.failures import SHOWN, ended_by_signal, failure, telling, with_log
from infra.owner import PARENT
from infra.private import OTHERS, private_file

TOKEN = "GRISTMILL_TREE"
"""Environment variable: the tokens of the trees that a process is part of, outermost first."""
GRACE_SECONDS = 30.0
KILL_SECONDS = 5.0
POLL_SECONDS = 0.02
EVENT = b'{"event": '
"""How a line that `emit` wrote begins; any other line is the child's own output."""
LOG_LINES = 200
"""Lines at the end of a log in which a failure's cause is looked for."""


def emit(event: str, **fields: Any) -> None:
    """Tell the owner: one JSON line on standard output. Called in the child."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def tell_owner(event: str, **fields: Any) -> None:
    """As `emit`, in code that may run in a process that no `Child` started: there nothing."""
    if PARENT in os.environ:
        emit(event, **fields)


def emit_failure(error: GristmillError, *, lost: bool = False) -> None:
    """Tell the owner that the child failed, and of what kind the failure is.

    lost  whether a child that serves several requests ends with it
    """
    emit(
        "failed",
        message=str(error),
        usage=isinstance(error, UsageError),
        transient=isinstance(error, TransientError),
        lost=lost,
    )


def failure_of(event: Mapping[str, Any], log: Path) -> GristmillError:
    """The error that a `failed` event stands for; it names the log unless the user's input is
    wrong."""
    if event.get("usage"):
        return UsageError(event["message"])
    kind = TransientError if event.get("transient") else GristmillError
    return kind(with_log(event["message"], log))


def output_of(command: Sequence[str]) -> str:
    """What a short command prints, stripped; empty when it fails or is not installed."""
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def detached(command: Sequence[str], log: Path) -> int:
    """Start a process that outlives this one, in a session of its own, without input; its output
    goes to the log, this user's alone. Its id."""
    with private_file(log) as output:
        started = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return started.pid


def become(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> NoReturn:
    """End as another program that works in `folder`, with these variables besides this process's
    environment. Files that it makes are this user's alone."""
    sys.stdout.flush()
    os.umask(OTHERS)
    os.chdir(folder)
    os.execve(command[0], list(command), {**os.environ, **environment})


@cache
def _starter() -> ThreadPoolExecutor:
    """The one thread that starts children, alive as long as this process.

    The kernel sends the signal of `die_with_parent` when the *thread* that started the child ends,
    and a flow may run a step in a thread that ends before.
    """
    return ThreadPoolExecutor(1, "process-starter")


# A fork copies the executor but not its thread: work given to it would never begin.
os.register_at_fork(after_in_child=_starter.cache_clear)


Piped: TypeAlias = "subprocess.Popen[bytes]"
"""A process with pipes to its standard input and output."""


def piped(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Piped:
    """A process that is asked and answers over its standard input and output, in a session of its
    own. It must call `die_with_parent`; ending and reaping it is the caller's."""
    given = {**os.environ, **(environment or {}), PARENT: str(os.getpid())}

    def start() -> Piped:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=given,
            start_new_session=True,
        )

    return _starter().submit(start).result()


class Child:
    """A running child process tree; as a context manager, it never outlives the block.

    command       argument list (never a shell string)
    log           file that receives the standard error and the output lines that are no events
    environment   what the child gets besides this process's environment
    inherited     open file numbers that it gets under the same numbers
    folder        where it works; this process's own otherwise
    private       whether files that it makes are this user's alone
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
        *,
        folder: Path | None = None,
        private: bool = False,
    ) -> None:
        self.command = list(command)
        self.log = log
        self.inherited = tuple(inherited)
        self.folder, self.umask = folder, OTHERS if private else -1
        self.token = uuid.uuid4().hex
        given = {**os.environ, **(environment or {})}
        # A tree within a tree carries both tokens: whoever stops the outer one stops both.
        given[TOKEN] = ":".join(filter(None, [os.environ.get(TOKEN), self.token]))
        given[PARENT] = str(os.getpid())
        given["PYTHONUNBUFFERED"] = "1"
        try:
            self._log = private_file(log)  # what a library says in a log is not ours to know
        except OSError as error:
            raise failure(f"{log.parent}", f"{error}; GRISTMILL_LOGS names the folder") from None
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
            pass_fds=self.inherited,
            cwd=self.folder,
            umask=self.umask,
            # Ctrl-C in a terminal reaches the owner alone, which then stops the tree in its order.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id of the tree's root."""
        return self._process.pid

    def send(self, request: Mapping[str, Any]) -> None:
        """Write one JSON line to the child's standard input.

        Raises GristmillError when the child has ended.
        """
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
            event = _event_in(line)
            if event is None:
                self._log.write(line)
                self._log.flush()
            else:
                yield event

    def wait(self) -> int:
        """The exit code, once the child has ended."""
        return self._process.wait()

    def ended(self) -> int | None:
        """The exit code; None while the child lives."""
        return self._process.poll()

    def failure(self, what: str) -> GristmillError:
        """An error with the most telling line of the log, a remedy, and where the rest is.

        For a child whose output has ended: waits for its exit code.
        """
        end = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        lines = [line.strip() for line in end if line.strip()]
        code = self.wait()
        if code < 0:
            return GristmillError(with_log(ended_by_signal(what, -code), self.log))
        said = telling("\n".join(lines)).line or (lines or ["no output"])[-1][:SHOWN]
        return failure(f"{what} failed with exit code {code}", said, self.log)

    def tree(self) -> list[psutil.Process]:
        """All living processes of the tree: those that carry its token, and their children.

        Parents alone do not tell (a process whose parent died belongs to init), nor do process
        groups (one may make a session of its own): the token stays. The token alone does not tell
        either: the kernel shows no environment of a process that is just being started, and a
        program may empty it. What cannot be read belongs to another user, hence not to us.
        """
        living: dict[int, tuple[psutil.Process, int]] = {}
        members = set() if self._process.returncode is not None else {self.pid}
        for process in psutil.process_iter():
            try:
                tokens = process.environ().get(TOKEN, "").split(":")
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                living[process.pid] = process, process.ppid()
            except (psutil.Error, OSError):
                continue
            if self.token in tokens:
                members.add(process.pid)
        while children := {
            pid for pid, (_, parent) in living.items() if parent in members and pid not in members
        }:
            members |= children
        return [process for pid, (process, _) in living.items() if pid in members]

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """SIGTERM to the whole tree, `grace_seconds` to finish, SIGKILL for the rest.

        Returns when all are gone.
        """
        alive = self.tree()
        for process in alive:
            _signal(process, signal.SIGTERM)
        self._await(alive, grace_seconds)
        # Again and again: a process may start another one between the look and the signal.
        while left := self.tree():
            for process in left:
                _signal(process, signal.SIGKILL)
            self._await(left, KILL_SECONDS)
        self._process.wait()

    def _await(self, processes: list[psutil.Process], seconds: float) -> None:
        """Until these have ended, at most so long."""
        until = time.monotonic() + seconds
        # The root is left to Popen: whoever waits for a child first takes its exit code.
        others = [process for process in processes if process.pid != self.pid]
        while others and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
            others = [process for process in others if lives(process)]
        if any(process.pid == self.pid for process in processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, until - time.monotonic()))

    def _end_the_rest(self) -> None:
        """Stop what the root leaves running, as soon as it has ended; in a thread of its own.

        It would hold the root's output open, and `events` would never end.
        """
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
                # Closing sends what was not sent yet; there is nobody left who reads it.
                with contextlib.suppress(BrokenPipeError):
                    if stream is not None:
                        stream.close()


def _event_in(line: bytes) -> dict[str, Any] | None:
    """The event that a line of output is; None for any other line, also for a torn event."""
    if not line.startswith(EVENT):
        return None
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return event


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended. One whose parent died stays in the process table until init takes
    note, in seconds or, in a container without one, never."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, sign: int) -> None:
    try:
        process.send_signal(sign)
    except psutil.NoSuchProcess:
        return


def run(
    command: Sequence[str], log: Path, what: str, environment: Mapping[str, str] | None = None
) -> Generator[dict[str, Any], None, None]:
    """Run a child to its end and yield its events; who leaves them early ends the child.

    Raises GristmillError when it fails: the error of its `failed` event, or one by its exit code.
    """
    with Child(command, log, environment) as child:
        child.close_input()
        for event in child.events():
            if event["event"] == "failed":
                raise failure_of(event, log)
            yield event
        if child.wait() != 0:
            raise child.failure(what)
