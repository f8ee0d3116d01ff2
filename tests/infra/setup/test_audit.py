"""The audit of the lock file, against a server that speaks as OSV does."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from infra.setup import audit

REPO = Path(__file__).parents[3]


class Advisories(http.server.BaseHTTPRequestHandler):
    """Knows what `known` says."""

    known: ClassVar[dict[tuple[str, str], str]] = {}

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        pins = [(each["package"]["name"], each["version"]) for each in asked]
        found = [{"vulns": [{"id": self.known[p]}]} if p in self.known else {} for p in pins]
        body = json.dumps({"results": found}).encode()
        self.send_response(200 if self.path == "/v1/querybatch" else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A list with an advisory on torch and one on another version of Flask than ours."""
    Advisories.known = {("flask", "0.1"): "GHSA-old", ("torch", "2.13.0"): "GHSA-torch"}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def audited(url: str) -> tuple[int, str, str]:
    """Exit code, output and error line of the audit."""
    command = [sys.executable, "-m", "infra.setup.audit", url]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_every_locked_package_is_asked_about() -> None:
    asked = audit.pins(REPO / "requirements.lock", REPO / "infra" / "setup" / "prepare.sh")
    locked = (REPO / "requirements.lock").read_text().splitlines()
    lines = [line for line in locked if line and not line.startswith((" ", "#"))]
    assert len(asked) == len(lines) + 1
    assert {("torch", "2.13.0"), ("prefect", "3.8.8")} <= set(asked)


def test_an_advisory_on_a_locked_version_is_named(url: str) -> None:
    code, said, _ = audited(url)
    assert code == 1
    assert said.splitlines()[0] == "torch==2.13.0: GHSA-torch (https://osv.dev/GHSA-torch)"
    assert said.splitlines()[1].endswith(" packages, 1 with advisories")


def test_without_advisories_all_is_well(url: str) -> None:
    Advisories.known = {}
    code, said, _ = audited(url)
    assert (code, said.splitlines()[0].split(" packages, ")[1]) == (0, "0 with advisories")


def test_a_list_that_cannot_be_reached_is_one_line_and_no_success() -> None:
    code, said, error = audited("http://127.0.0.1:9")
    assert (code, said) == (2, "")
    assert (
        error.startswith("audit: http://127.0.0.1:9 cannot be asked (") and error.count("\n") == 1
    )
