"""A whole run is closed to strangers: nothing of its tree listens outside loopback, and no secret
that it was given is left in what it writes or on a command line."""

import functools
import http.server
import ipaddress
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from tests.e2e.whole import REPO, parameters

MARK = "GRISTMILL_TEST"
pytestmark = pytest.mark.timeout(1800)
LOOK_SECONDS = 0.5
SECRET = "5ecret-that-nobody-may-find"


@dataclass
class Watched:
    """What was seen of a run: the addresses on which its programs listened, its command lines."""

    listening: set[tuple[str, str]] = field(default_factory=set)
    lines: set[str] = field(default_factory=set)

    def look(self, mark: str) -> None:
        """At all processes that carry the mark, wherever in the tree they are."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) != mark:
                    continue
                line = " ".join(process.cmdline())
                self.lines.add(line)
                self.listening |= {
                    (program(line), each.laddr.ip)
                    for each in process.net_connections("inet")
                    if each.status == psutil.CONN_LISTEN
                }
            except (psutil.Error, OSError):
                continue


def program(line: str) -> str:
    """Which part of the run a command line is."""
    parts = ("flows.running.server", "java", "model.train", "jobs.spark.driver", "pyspark")
    return next((part for part in parts if part in line), "command")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web server without a log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address(crawl: list[str]) -> Iterator[str]:
    """The crawl's first file on a web server, with a password in its query."""
    handler = functools.partial(Quiet, directory=str(Path(crawl[0]).parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{Path(crawl[0]).name}?X-Amz-Signature={SECRET}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything of the run is written."""
    return tmp_path_factory.mktemp("closed")


@pytest.fixture(scope="module")
def watched(folder: Path, address: str) -> Watched:
    """A whole run, with a secret wherever a user may put one."""
    values = parameters(str(folder / "lake"), [address])
    values["train"] |= {"processes": 2}
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump(values))
    netrc = folder / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    netrc.chmod(0o600)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"},
        "PYTHONPATH": str(REPO),
        "PREFECT_HOME": str(folder / "prefect"),
        "GRISTMILL_LOGS": str(folder / "logs"),
        "GRISTMILL_ALLOW_LOCAL_ADDRESSES": "true",
        "SPARK_MASTER": "local[2]",
        "GRISTMILL_SPARK_CONF": f"spark.hadoop.fs.s3a.secret.key={SECRET}",
        "AWS_ACCESS_KEY_ID": f"id-{SECRET}",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": SECRET,
        "NETRC": str(netrc),
        "TMPDIR": str(folder),
        MARK: str(folder),
    }
    command = [sys.executable, "-m", "flows.command.cli", "run", "--config", str(config)]
    seen = Watched()
    output = folder / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command, env=environment, stdout=stream, stderr=subprocess.STDOUT, cwd=folder
        )
        try:
            while process.poll() is None:
                seen.look(str(folder))
                psutil.wait_procs([psutil.Process()], timeout=LOOK_SECONDS)
        finally:
            process.terminate()
            process.wait()
    assert process.returncode == 0, output.read_text()
    netrc.unlink()
    config.unlink()
    return seen


def test_the_whole_tree_listens_on_loopback_alone(watched: Watched) -> None:
    assert {"flows.running.server", "java", "model.train"} <= {who for who, _ in watched.listening}
    outside = {(who, ip) for who, ip in watched.listening if not is_loopback(ip)}
    assert outside == set()


def is_loopback(ip: str) -> bool:
    """Also as IPv6 carries it."""
    address = ipaddress.ip_address(ip)
    carried = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (carried or address).is_loopback


def test_no_secret_is_on_a_command_line(watched: Watched) -> None:
    assert len(watched.lines) > 4
    assert [line for line in watched.lines if SECRET in line] == []


def test_no_secret_is_in_anything_written(watched: Watched, folder: Path) -> None:
    assert {"lake", "logs", "prefect", "output"} <= {path.name for path in folder.iterdir()}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    tables = [pq.read_table(path) for path in files if path.suffix == ".parquet"]
    assert any("url" in table.column_names for table in tables)
    for table in tables:
        for column in table.columns:
            if pa.types.is_string(column.type):
                assert not pc.any(pc.match_substring(column, SECRET)).as_py()


def test_logs_and_prefects_database_are_their_users_alone(watched: Watched, folder: Path) -> None:
    for files in (list((folder / "logs").iterdir()), list((folder / "prefect").glob("*.db*"))):
        assert files
        assert [path for path in files if path.stat().st_mode & 0o077] == []
    assert (folder / "logs").stat().st_mode & 0o077 == 0
