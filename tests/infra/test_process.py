"""Child process trees: real ones, of Python scripts; nothing outlives its owner."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra.errors import GristmillError, TransientError, UsageError
from infra.process import TOKEN, Child, output_of, run

REPOSITORY = str(Path(__file__).parents[2])
DEADLINE_SECONDS = 60.0
EMIT = "from infra.owner import die_with_parent\nfrom infra.process import emit, emit_failure\n"
FOREVER = "import threading; threading.Event().wait()\n"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
GRANDCHILD = f"subprocess.Popen([sys.executable, '-c', {FOREVER!r}], start_new_session=True).pid"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children import the code under test."""
    monkeypatch.setenv("PYTHONPATH", REPOSITORY)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log file of a child."""
    return tmp_path / "logs" / "child.log"


def python(script: str) -> list[str]:
    """The command that runs a script."""
    return [sys.executable, "-c", script]


def gone(*pids: int) -> bool:
    """Whether these processes end before the deadline; a zombie has ended."""
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    alive = [p for p in processes if not is_zombie(p)]
    return not psutil.wait_procs(alive, timeout=DEADLINE_SECONDS)[1] or all(
        is_zombie(p) for p in alive
    )


def is_zombie(process: psutil.Process) -> bool:
    """Whether it has ended and nobody has asked for its exit code."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_events_come_as_they_are_and_the_rest_goes_to_the_log(log: Path) -> None:
    script = EMIT + (
        "import sys\n"
        "print('a line')\n"
        "emit('progress', step=1, done=1, total=2)\n"
        "print('{\"event\": broken')\n"
        "print('{\"eventually\": 1}')\n"
        "print('[1]')\n"
        "sys.stderr.write('a warning\\n')\n"
        "emit('metric', loss=0.5, text='Größe\\n文')\n"
    )
    assert list(run(python(script), log, "test")) == [
        {"event": "progress", "step": 1, "done": 1, "total": 2},
        {"event": "metric", "loss": 0.5, "text": "Größe\n文"},
    ]
    assert sorted(log.read_text().splitlines()) == sorted(
        ["a line", '{"event": broken', '{"eventually": 1}', "[1]", "a warning"]
    )


def test_a_child_answers_one_request_after_the_other(log: Path) -> None:
    script = EMIT + (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    emit('result', double=2 * json.loads(line)['n'])\n"
    )
    with Child(python(script), log) as child:
        for number in (1, 21):
            child.send({"n": number})
            assert next(child.events()) == {"event": "result", "double": 2 * number}
        child.close_input()
        assert list(child.events()) == []
        assert child.wait() == 0


def test_a_request_to_a_child_that_has_ended_is_a_failure(log: Path) -> None:
    with Child(python("raise SystemExit('ValueError: no Java')"), log) as child:
        child.wait()
        with pytest.raises(GristmillError, match="failed with exit code 1: ValueError: no Java"):
            child.send({"n": 1})


def test_a_failure_says_the_telling_line_and_where_the_log_is(log: Path) -> None:
    script = (
        "import sys\n"
        "print('first')\n"
        "sys.stderr.write('trace\\nValueError: the reason\\nlast words\\n')\n"
        "sys.exit(3)\n"
    )
    with pytest.raises(GristmillError) as caught:
        list(run(python(script), log, "dedup"))
    assert (
        str(caught.value) == f"dedup failed with exit code 3: ValueError: the reason (log: {log})"
    )


def test_a_failure_without_a_word_says_so(log: Path) -> None:
    with pytest.raises(GristmillError, match=r"dedup failed with exit code 7: no output"):
        list(run(python("import os; os._exit(7)"), log, "dedup"))


def test_a_child_that_was_killed_is_named_with_its_signal(log: Path) -> None:
    with pytest.raises(
        GristmillError, match="train was killed by SIGKILL; the kernel does so when memory"
    ):
        list(run(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), log, "train"))


@pytest.mark.parametrize("kind", [GristmillError, UsageError, TransientError])
def test_a_failed_event_is_the_error_that_the_child_met(
    log: Path, kind: type[GristmillError]
) -> None:
    name = kind.__name__
    script = EMIT + (
        f"from infra.errors import {name}\nemit_failure({name}('the crawl is empty'))\n{FOREVER}"
    )
    with pytest.raises(GristmillError) as caught:
        list(run(python(script), log, "extract"))
    assert type(caught.value) is kind
    where = "" if kind is UsageError else f" (log: {log})"
    assert str(caught.value) == f"the crawl is empty{where}"


def test_a_command_that_is_not_there_is_one_line(log: Path) -> None:
    with pytest.raises(
        GristmillError, match="cannot start no-such-command: No such file or directory"
    ):
        Child(["no-such-command"], log)


def test_stopping_ends_a_grandchild_in_a_session_of_its_own(log: Path) -> None:
    script = EMIT + f"import subprocess, sys\nemit('pid', pid={GRANDCHILD})\n" + FOREVER
    with Child(python(script), log) as child:
        pid = next(child.events())["pid"]
        assert {child.pid, pid} <= {process.pid for process in child.tree()}
        child.stop()
        assert child.tree() == []
        assert child.wait() == -signal.SIGTERM
    assert gone(pid)


def test_stopping_ends_a_grandchild_with_an_empty_environment(log: Path) -> None:
    bare = GRANDCHILD.replace("start_new_session=True", "start_new_session=True, env={}")
    script = EMIT + f"import subprocess, sys\nemit('pid', pid={bare})\n" + FOREVER
    with Child(python(script), log) as child:
        pid = next(child.events())["pid"]
        assert {child.pid, pid} <= {process.pid for process in child.tree()}
    assert gone(pid)


@pytest.mark.parametrize("attempt", range(5))
def test_a_child_that_has_hardly_begun_is_stopped_too(log: Path, attempt: int) -> None:
    with Child(python(FOREVER), log) as child:
        assert [process.pid for process in child.tree()] == [child.pid]
        child.stop()
        assert child.tree() == []
        assert child.wait() < 0


def test_stopping_ends_a_tree_within_the_tree(log: Path, tmp_path: Path) -> None:
    inner = f"Child([sys.executable, '-c', {FOREVER!r}], Path({str(tmp_path / 'inner.log')!r}))"
    script = EMIT + (
        "import sys\n"
        "from pathlib import Path\n"
        "from infra.process import Child\n"
        f"emit('pid', pid={inner}.pid)\n{FOREVER}"
    )
    with Child(python(script), log) as child:
        pid = next(child.events())["pid"]
    assert gone(pid)


def test_a_child_that_ignores_sigterm_is_killed(log: Path) -> None:
    with Child(python(EMIT + DEAF + "emit('ready')\n" + FOREVER), log) as child:
        assert next(child.events()) == {"event": "ready"}
        child.stop(grace_seconds=0.1)
        assert child.wait() == -signal.SIGKILL


def test_a_child_has_time_to_finish_after_sigterm(log: Path) -> None:
    script = EMIT + (
        "import signal, sys, threading\n"
        "stop = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: stop.set())\n"
        "emit('ready')\n"
        "stop.wait()\n"
        "print('checkpoint saved')\n"
    )
    with Child(python(script), log) as child:
        events = child.events()
        next(events)
        child.stop()
        assert list(events) == []
        assert child.wait() == 0
    assert log.read_text() == "checkpoint saved\n"


def test_an_exception_in_the_block_ends_the_tree(log: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Child(python(FOREVER), log) as child:
        raise KeyboardInterrupt
    assert gone(child.pid)


def test_leaving_the_events_early_ends_the_tree(log: Path) -> None:
    events = run(python(EMIT + "import os\nemit('pid', pid=os.getpid())\n" + FOREVER), log, "test")
    pid = next(events)["pid"]
    events.close()
    assert gone(pid)


def test_what_a_dead_child_leaves_behind_neither_lives_on_nor_holds_up_its_owner(log: Path) -> None:
    script = EMIT + f"import os, subprocess, sys\nemit('pid', pid={GRANDCHILD})\nos._exit(9)\n"
    with Child(python(script), log) as child:
        events = list(child.events())
        assert child.wait() == 9
    assert gone(events[0]["pid"])


IDLE_INIT = """
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans become this process's
sys.exit(subprocess.Popen(sys.argv[1:]).wait())
"""
STOPPING = """
import sys
from pathlib import Path
from infra.process import Child
with Child([sys.executable, "-c", sys.argv[1]], Path(sys.argv[2])) as child:
    pid = next(child.events())["pid"]
    child.stop(grace_seconds=3600)
print(Path(f"/proc/{pid}/stat").read_text().split()[2])
"""


def test_a_dead_process_that_nobody_takes_note_of_is_not_waited_for(log: Path) -> None:
    child = EMIT + f"import subprocess, sys\nemit('pid', pid={GRANDCHILD})\n" + FOREVER
    command = [*python(IDLE_INIT), *python(STOPPING), child, str(log)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert (done.stdout, done.stderr) == ("Z\n", "")


OWNER = """
import sys
from pathlib import Path
from infra.process import Child
with Child([sys.executable, "-c", sys.argv[1]], Path(sys.argv[2])) as child:
    for event in child.events():
        print(event["pid"], flush=True)
"""


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_dies_with_an_owner_that_is_killed(log: Path, sign: signal.Signals) -> None:
    child = EMIT + "import os\ndie_with_parent()\nemit('pid', pid=os.getpid())\n" + FOREVER
    with subprocess.Popen([*python(OWNER), child, str(log)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert psutil.pid_exists(pid)
        owner.send_signal(sign)
    assert gone(pid)


def test_a_child_whose_owner_died_before_it_could_ask_goes_too(log: Path) -> None:
    late = (
        EMIT
        + "import os, sys\nemit('pid', pid=os.getpid())\nsys.stdin.read()\ndie_with_parent()\n"
        + FOREVER
    )
    with subprocess.Popen([*python(OWNER), late, str(log)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    assert gone(pid)


def test_a_child_outlives_the_thread_that_started_it(log: Path) -> None:
    script = EMIT + (
        "import json, sys\n"
        "die_with_parent()\n"
        "for line in sys.stdin:\n"
        "    emit('echo', n=json.loads(line)['n'])\n"
    )
    started: list[Child] = []

    def start() -> None:
        started.append(Child(python(script), log))
        started[0].send({"n": 1})
        assert next(started[0].events()) == {"event": "echo", "n": 1}

    in_thread(start)
    with started[0] as child:
        child.send({"n": 2})
        assert next(child.events()) == {"event": "echo", "n": 2}


def in_thread(work: Callable[[], None]) -> None:
    """Do it in a thread that has ended on return."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_fork_starts_children_of_its_own(log: Path) -> None:
    script = EMIT + (
        "import os, sys\nfrom pathlib import Path\nfrom infra.process import run\n"
        "command = [sys.executable, '-c', 'from infra.process import emit; emit(\"x\")']\n"
        f"log = Path({str(log)!r})\n"
        "assert list(run(command, log, 'before'))\n"
        "if os.fork() == 0:\n"
        "    emit('in_fork', events=list(run(command, log, 'after')))\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    assert list(run(python(script), log.with_name("outer.log"), "fork")) == [
        {"event": "in_fork", "events": [{"event": "x"}]}
    ]


def test_the_environment_of_a_child_carries_its_tree_and_what_was_given(log: Path) -> None:
    script = (
        EMIT + f"import os\nemit('seen', token=os.environ[{TOKEN!r}], given=os.environ['GIVEN'])\n"
    )
    with Child(python(script), log, {"GIVEN": "value"}) as child:
        assert next(child.events()) == {"event": "seen", "token": child.token, "given": "value"}


def test_the_output_of_a_short_command(tmp_path: Path) -> None:
    assert output_of(python("print(' text ')")) == "text"
    assert output_of(["no-such-command"]) == ""
    assert output_of(["git", "-C", str(tmp_path), "describe"]) == ""


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    from infra.process import emit

    emit("metric", text="two\nlines")
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "metric", "text": "two\nlines"}
    ]
