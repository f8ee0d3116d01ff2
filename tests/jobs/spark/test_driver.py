"""The driver's words: what the user is told of a failure in Spark or in a worker."""

import pytest
from pyspark.errors import PythonException

from infra.errors import GristmillError, TransientError, UsageError
from jobs.spark.driver import failure_of, is_transient, telling_line
from jobs.spark.places import answers_at
from jobs.spark.session import Session


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (GristmillError("a: 3 rows in"), GristmillError("a: 3 rows in")),
        (UsageError("b: wrong"), UsageError("b: wrong")),
        (TransientError("c: is gone"), TransientError("c: is gone")),
        (
            ValueError("bad page\nsecond"),
            GristmillError("d: PythonException: ValueError: bad page"),
        ),
    ],
)
def test_a_failure_in_a_worker_becomes_one_line(
    session: Session, raised: Exception, told: GristmillError
) -> None:
    def work(place: int) -> None:
        raise raised

    with pytest.raises(PythonException) as caught:
        answers_at(session, 1, work)
    found = failure_of("d", caught.value)
    assert (type(found), str(found)) == (type(told), str(told))


def test_the_telling_line_is_the_last_python_error_and_not_javas() -> None:
    trace = """An exception was thrown from the Python worker:
      File "/x.py", line 8, in work
    ValueError: bad page
      at org.apache.spark.api.python.BasePythonRunner
    org.apache.spark.SparkException: Job aborted
    java.io.IOException: gone"""
    assert telling_line(Exception(trace)) == "ValueError: bad page"
    assert telling_line(Exception("Job aborted\n at java.lang")) == "Job aborted"
    assert telling_line(Exception("")) == ""


def test_a_lost_executor_and_a_broken_network_may_pass() -> None:
    assert is_transient(ConnectionResetError("peer"))
    assert is_transient(RuntimeError("ExecutorLostFailure (executor 3 exited)"))
    assert not is_transient(ValueError("bad page"))
    lost = failure_of("dedup", RuntimeError("ExecutorLostFailure (executor 3)\nmore"))
    assert isinstance(lost, TransientError)
    assert str(lost) == "dedup: RuntimeError: ExecutorLostFailure (executor 3)"
