"""The line that a user reads is the cause, whatever tool wrapped it, and says what to do."""

import signal

import pytest

from infra.errors import DamagedError, GristmillError, TransientError, UsageError
from infra.failures import CAUSES, ended_by_signal, failure, failure_in, telling, with_log

TORCHRUN = """
[rank1]: Traceback (most recent call last):
[rank1]:   File "/x/model/train.py", line 274, in run
[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79 GiB
E1124 16:00:00 torch/distributed/elastic/multiprocessing/api.py:988] failed (exitcode: 1) rank: 1
Traceback (most recent call last):
  File "/x/torch/distributed/run.py", line 992, in main
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
model.train FAILED
"""
JAVA = """An error occurred while calling o61.collect.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 3 failed 1 times
\tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2898)
Caused by: java.util.concurrent.ExecutionException: java.lang.IllegalStateException: first
Caused by: java.lang.IllegalArgumentException: requirement failed: the deepest
\tat scala.Predef$.require(Predef.scala:337)
"""
SHUFFLE = JAVA.replace(
    "java.lang.IllegalArgumentException: requirement failed: the deepest",
    "java.io.IOException: No space left on device",
)
WORKER = """An exception was thrown from the Python worker:
  File "/x.py", line 8, in work
ValueError: bad page
  at org.apache.spark.api.python.BasePythonRunner
org.apache.spark.SparkException: Job aborted
java.io.IOException: gone"""
LIBRARY = """[PYTHON_EXCEPTION] An exception was thrown from the Python worker: Traceback
  File "pyarrow/error.pxi", line 92, in pyarrow.lib.check_status
pyarrow.lib.ArrowInvalid: offset overflow while concatenating arrays
 SQLSTATE: 38000
"""
SAVER = """CheckpointException ranks:dict_keys([0])
Traceback (most recent call last): (RANK 0)
  File "/x/storage.py", line 92, in write_data
OSError: [Errno 28] No space left on device
"""
JVM_GONE = """JAVA_HOME is not set
Traceback (most recent call last):
  File "/x/pyspark/java_gateway.py", line 107, in launch_gateway
pyspark.errors.exceptions.base.PySparkRuntimeError: [JAVA_GATEWAY_EXITED] Java gateway process
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (TORCHRUN, "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"),
        (JAVA, "IllegalArgumentException: requirement failed: the deepest"),
        (SHUFFLE, "IOException: No space left on device"),
        (WORKER, "ValueError: bad page"),
        (LIBRARY, "ArrowInvalid: offset overflow while concatenating arrays"),
        (SAVER, "OSError: [Errno 28] No space left on device"),
        (JVM_GONE, "PySparkRuntimeError: [JAVA_GATEWAY_EXITED] Java gateway process"),
        ("infra.errors.UsageError: wrong\nOSError: No space left on device", "UsageError: wrong"),
        ("nothing of that kind\nat all", ""),
        ("", ""),
    ],
)
def test_the_cause_is_found_in_what_tools_say_around_it(text: str, line: str) -> None:
    found = telling(text).line
    assert found.startswith(line) and bool(found) == bool(line)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("OSError: [Errno 28] No space left on device: '/lake/x'", "free space there"),
        ("OutOfMemoryError: CUDA out of memory.", "train.micro_batch_sequences"),
        ("OutOfMemoryError: java.lang.OutOfMemoryError: Java heap space", "GRISTMILL_DRIVER"),
        ("OSError: [Errno 12] Cannot allocate memory", "free memory"),
        ("PySparkRuntimeError: [JAVA_GATEWAY_EXITED] exited", "install Java 17"),
        ("OSError: [Errno 30] Read-only file system: '/lake'", "can be written"),
        ("PermissionError: [Errno 13] Permission denied: '/x'", "check the rights"),
        ("FileNotFoundError: The specified bucket does not exist", "check the bucket's name"),
        ("NoCredentialsError: Unable to locate credentials", "AWS_ACCESS_KEY_ID"),
        ("ArrowInvalid: Parquet magic bytes not found in footer", "verify --hashes"),
    ],
)
def test_a_known_cause_comes_with_its_remedy(said: str, remedy: str) -> None:
    found = failure("dedup", said, "logs/x.log")
    assert type(found) is GristmillError
    assert str(found).startswith(f"dedup: {said}; ")
    assert remedy in str(found)
    assert str(found).endswith(" (log: logs/x.log)")
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "said",
    [
        "ConnectionResetError: [Errno 104] Connection reset by peer",
        "RuntimeError: ExecutorLostFailure (executor 3 exited)",
        "EndpointConnectionError: Could not connect to the endpoint URL",
    ],
)
def test_a_broken_network_and_a_lost_executor_may_pass(said: str) -> None:
    assert type(failure("dedup", said)) is TransientError
    assert type(failure("dedup", "ValueError: bad page")) is GristmillError


@pytest.mark.parametrize("kind", [GristmillError, UsageError, TransientError, DamagedError])
def test_our_own_error_is_told_as_it_is_also_from_a_worker(kind: type[GristmillError]) -> None:
    assert failure_in("dedup", error := kind("the line")) is error
    worker = RuntimeError(f"Traceback:\ninfra.errors.{kind.__name__}: the line\n at org.x")
    found = failure_in("dedup", worker)
    assert (type(found), str(found)) == (kind, "the line")


def test_an_error_without_a_telling_line_is_named_by_its_kind() -> None:
    assert str(failure_in("dedup", KeyError("x"))) == "dedup: KeyError: 'x'"
    assert str(failure_in("dedup", AssertionError())) == "dedup: AssertionError"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGUSR1])
def test_a_signal_is_named_with_what_it_mostly_means(number: signal.Signals) -> None:
    what, _, remedy = ended_by_signal("train: rank 3", number).partition("; ")
    assert what == f"train: rank 3 was killed by {number.name}"
    assert remedy


def test_a_log_is_named_once() -> None:
    assert with_log(with_log("x", "a.log"), "b.log") == "x (log: a.log)"
    assert with_log("x", "") == "x"


def test_no_remedy_is_for_the_tools_own_words() -> None:
    for wrapper in ("ChildFailedError: model.train FAILED", "Py4JJavaError: An error occurred"):
        assert not any(cause.pattern.search(wrapper) for cause in CAUSES)
        assert telling(wrapper).line == ""
