"""From what a tool or a process said to the one line that a user reads: the cause, then a remedy.

A failure of Spark, torchrun or a library is a page of text in which the cause stands once: as
Python's last exception or Java's deepest `Caused by`. Around it are the tools' own words for
"something failed" (WRAPPERS), which say nothing. `CAUSES` is the only table of remedies.
"""

import re
import signal
from dataclasses import dataclass

from infra.errors import DamagedError, GristmillError, TransientError, UsageError

SHOWN = 300
"""Letters of a cause that an error repeats."""


@dataclass(frozen=True)
class Cause:
    """A cause that is known: what its text looks like, what to do, whether trying again helps."""

    pattern: re.Pattern[str]
    remedy: str
    transient: bool = False


def _cause(pattern: str, remedy: str, *, transient: bool = False) -> Cause:
    return Cause(re.compile(pattern), remedy, transient)


CAUSES = (
    _cause(
        r"No space left on device|Disk quota exceeded|ENOSPC|File too large",
        "free space there, or name another place (--root for the lake, SPARK_LOCAL_DIRS for Spark's"
        " shuffle, TMPDIR, GRISTMILL_LOGS), then run again: what is finished stays",
    ),
    _cause(
        r"CUDA out of memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
        "lower train.micro_batch_sequences, or take a smaller preset",
    ),
    _cause(
        r"java\.lang\.OutOfMemoryError|GC overhead limit exceeded",
        "raise GRISTMILL_DRIVER_MEMORY (now 4g unless set)",
    ),
    _cause(
        r"Cannot allocate memory|MemoryError|can't allocate memory|std::bad_alloc",
        "free memory, or use fewer cores (SPARK_MASTER=local[2]) or smaller batches",
    ),
    _cause(
        r"JAVA_GATEWAY_EXITED|JAVA_HOME is not set|[Jj]ava: (command )?not found"
        r"|Unable to locate a Java Runtime|UnsupportedClassVersionError",
        "install Java 17 or newer and set JAVA_HOME, or run `make prepare`; if it is there, run"
        " again",
    ),
    _cause(r"Read-only file system", "name a place that can be written"),
    _cause(
        r"Permission denied|AccessDenied|403 Forbidden|Access Denied",
        "check the rights of this user there",
    ),
    _cause(
        r"NoSuchBucket|bucket does not exist",
        "check the bucket's name in the URI, and AWS_ENDPOINT_URL",
    ),
    _cause(
        r"NoCredentialsError|Unable to locate credentials|InvalidAccessKeyId"
        r"|SignatureDoesNotMatch|ExpiredToken",
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    _cause(
        r"ExecutorLostFailure|Connection reset by peer|SlowDown|Read timed out|ReadTimeout"
        r"|IncompleteRead|RequestTimeout|ServiceUnavailable",
        "run again: what is finished stays",
        transient=True,
    ),
    _cause(
        r"Connection refused|EndpointConnectionError|Could not connect to the endpoint"
        r"|Name or service not known|Temporary failure in name resolution|No route to host"
        r"|Max retries exceeded|Failed to reach API",
        "check that the server runs and its address (AWS_ENDPOINT_URL, MLFLOW_TRACKING_URI,"
        " PREFECT_API_URL)",
        transient=True,
    ),
    _cause(
        r"Parquet magic bytes not found|Couldn't deserialize thrift|deserializing page header"
        r"|[Dd]ecompression failed|Corrupt (snappy|Zstd)|HeaderTooLarge|MetadataIncompleteBuffer"
        r"|Unexpected end of stream|crc checksum mismatch|Page was smaller",
        "`gristmill verify --hashes` names the damaged file, --repair has it built again",
    ),
)
SIGNALS = {
    signal.SIGKILL: "the kernel does so when memory runs out: lower the batch or the number of"
    " processes, or free memory; `dmesg` tells",
    signal.SIGSEGV: "a native library crashed: run again, and report it with the log",
    signal.SIGBUS: "a mapped file shrank or shared memory is full: free /dev/shm, then run again",
    signal.SIGABRT: "a native library gave up: the log says why",
    signal.SIGTERM: "somebody stopped it: run again to go on",
}
RAISED = re.compile(r"(Caused by: )?(?P<kind>[A-Za-z_][\w.$]*): (?P<said>\S.*)")
KIND = re.compile(r"Error|Exception|\.[A-Z]\w*$")
"""What names an exception: some have a name of their own, as `pyarrow.lib.ArrowInvalid`."""
RANK = re.compile(r"^\[?rank\d+\]?:\s*")
JAVA = ("Caused by: ", "org.", "java.", "javax.", "scala.", "com.")
WRAPPERS = frozenset(
    {
        *("ChildFailedError", "CheckpointException", "PythonException", "Py4JJavaError"),
        *("Py4JError", "Py4JNetworkError", "SparkException", "RuntimeException"),
        *("ExecutionException", "CompletionException", "UncheckedIOException"),
    }
)
KINDS = {kind.__name__: kind for kind in (GristmillError, UsageError, TransientError, DamagedError)}


@dataclass(frozen=True)
class Told:
    """The telling line of a text: the kind of exception (its short name) and what it says."""

    kind: str
    said: str

    @property
    def line(self) -> str:
        """Both, at most SHOWN letters."""
        return f"{self.kind}: {self.said}"[:SHOWN] if self.kind else self.said[:SHOWN]


def telling(text: str) -> Told:
    """The cause in a traceback, a Java stack or the end of a log; empty where no line tells one.

    Our own error wins, then a line that CAUSES knows, then a Python exception, then Java's deepest
    cause; of several the last.
    """
    ours, known, python, java = [], [], [], []
    for line in (each.strip(" :") for each in text.splitlines()):
        told = _told(RANK.sub("", line))
        if told is None:
            continue
        if told.kind in KINDS:
            ours.append(told)
        elif cause_of(told.line):
            known.append(told)
        elif line.startswith(JAVA):
            java.append(told)
        else:
            python.append(told)
    found = ours or known or python or java
    return found[-1] if found else Told("", "")


def _told(line: str) -> Told | None:
    """The exception that a line names; the one within, where it is a wrapper."""
    match = RAISED.fullmatch(line)
    if not match or not (KIND.search(match["kind"]) or cause_of(line)):
        return None
    kind = match["kind"].rpartition(".")[2]
    return _told(match["said"]) if kind in WRAPPERS else Told(kind, match["said"])


def cause_of(text: str) -> Cause | None:
    """The known cause that a text tells of."""
    return next((cause for cause in CAUSES if cause.pattern.search(text)), None)


def failure(what: str, told: str, log: object = "") -> GristmillError:
    """The error that a user sees: `what: told; remedy (log: ...)`, one line."""
    said = " ".join(told.split())
    cause = cause_of(said)
    remedy = f"; {cause.remedy}" if cause else ""
    kind = TransientError if cause and cause.transient else GristmillError
    return kind(with_log(f"{what}: {said}{remedy}", log))


def failure_in(what: str, error: BaseException) -> GristmillError:
    """The error for an exception: our own as it is, any other by its telling line."""
    if isinstance(error, GristmillError):
        return error
    text = f"{type(error).__name__}: {error}"
    told = telling(text)
    if ours := KINDS.get(told.kind):
        return ours(told.said)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return failure(what, told.line or first[:SHOWN])


def ended_by_signal(what: str, number: int) -> str:
    """`what was killed by SIGKILL; remedy`."""
    name = signal.Signals(number).name
    remedy = SIGNALS.get(signal.Signals(number), "the log may say why")
    return f"{what} was killed by {name}; {remedy}"


def with_log(message: str, log: object) -> str:
    """The message with the log's path behind it."""
    return f"{message} (log: {log})" if log and "(log: " not in message else message
