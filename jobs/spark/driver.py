"""The Spark driver process: one JVM serves all Spark steps of a run.

    python -m jobs.spark.driver ROOT

Reads one request a line from standard input (`Task.request()`), answers with events: `result`
(digest) or `failed` (message). Ends with its input, with its parent, or when the JVM is lost: the
owner then starts another driver.
"""

import importlib
import json
import re
import sys
import traceback

from py4j.protocol import Py4JError

from infra.errors import GristmillError, TransientError, UsageError
from infra.process import die_with_parent, emit, emit_failure
from infra.step import Task
from jobs.spark.session import Session
from jobs.steps import STEPS

RAISED = re.compile(r"[A-Za-z_]\w*(\.\w+)*: \S")
JAVA = ("org.", "java.", "File ")
KINDS = {kind.__name__: kind for kind in (GristmillError, UsageError, TransientError)}
OURS = re.compile(rf"infra\.errors\.(?P<kind>{'|'.join(KINDS)}): (?P<message>.+)")
MESSAGE_CHARS = 300


def serve(root: str) -> None:
    """Start Spark and answer requests until the input ends."""
    steps = {step.name: step for step in STEPS}
    session = Session.start(root)
    emit("ready", application=session.application_id)
    for line in sys.stdin:
        request = json.loads(line)
        step = steps[request["step"]]
        try:
            run = importlib.import_module(step.module).run
            manifest = run(session, Task.from_request(step, request))
            emit("result", digest=manifest.digest)
        except GristmillError as error:
            emit_failure(error)
        except Exception as error:
            traceback.print_exc()
            if isinstance(error, Py4JError | ConnectionError) and session.lost():
                sys.exit(f"{step.name}: the JVM was lost")
            emit_failure(failure_of(step.name, error))
        finally:
            session.spark.catalog.clearCache()
    session.stop()


def failure_of(step: str, error: Exception) -> GristmillError:
    """What the user is told: a failure that a worker told in our words as it is, any other with
    the step's name."""
    line = telling_line(error)
    if ours := OURS.fullmatch(line):
        return KINDS[ours["kind"]](ours["message"])
    kind = TransientError if is_transient(error) else GristmillError
    return kind(f"{step}: {type(error).__name__}: {line[:MESSAGE_CHARS]}")


def telling_line(error: Exception) -> str:
    """The telling line of an exception; Spark's carry a Python and a Java trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    python = [line for line in lines if RAISED.match(line) and not line.startswith(JAVA)]
    return python[-1] if python else lines[0] if lines else ""


def is_transient(error: Exception) -> bool:
    """Whether trying again may help: the network or a lost executor, not the data or the code."""
    signs = (
        "ExecutorLostFailure",
        "Connection reset",
        "SlowDown",
        "Read timed out",
        "EndpointConnectionError",
    )
    network = isinstance(error, ConnectionError | TimeoutError)
    return network or any(sign in str(error) for sign in signs)


def main() -> None:
    """Entry point of the child process."""
    die_with_parent()
    try:
        serve(sys.argv[1])
    except GristmillError as error:
        emit_failure(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
