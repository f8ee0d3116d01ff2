"""The Spark driver process: one JVM serves all Spark steps of a run.

    python -m jobs.spark.driver ROOT

Reads one request a line from standard input (`Task.request()`), answers with events: `result`
(digest) or `failed` (message). Ends with its input, with its parent, or when the JVM is lost or
does not start: `failed` then says `lost`, and the owner starts another driver for the next step.
"""

import contextlib
import importlib
import json
import sys
import traceback

from py4j.protocol import Py4JError

from infra.errors import GristmillError, TransientError
from infra.failures import ended_by_signal, failure_in
from infra.owner import die_with_parent
from infra.process import emit, emit_failure
from infra.step import Task
from jobs.spark.session import Session
from jobs.steps import STEPS


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
            if isinstance(error, Py4JError | ConnectionError):
                number = session.lost()
                if number is not None:
                    emit_failure(lost(step.name, number), lost=True)
                    sys.exit(1)
            emit_failure(failure_in(step.name, error))
        finally:
            with contextlib.suppress(Py4JError, ConnectionError):  # where the JVM was lost
                session.spark.catalog.clearCache()
    session.stop()


def lost(step: str, number: int) -> TransientError:
    """What the user is told when the JVM ended, by this signal or of itself (0): another driver
    may succeed."""
    if number:
        return TransientError(ended_by_signal(f"{step}: Spark's JVM", number))
    return TransientError(f"{step}: Spark's JVM ended; run again: what is finished stays")


def main() -> None:
    """Entry point of the child process."""
    die_with_parent()
    try:
        serve(sys.argv[1])
    except Exception as error:
        traceback.print_exc()
        ended = isinstance(error, Py4JError | ConnectionError)
        emit_failure(lost("start", 0) if ended else failure_in("Spark", error), lost=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
