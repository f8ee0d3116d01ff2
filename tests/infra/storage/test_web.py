"""Reading over http from a real web server, with and without ranges."""

import hashlib
import http.server
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import storage
from infra.errors import UsageError
from infra.settings import settings

MEBIBYTE = 1 << 20


class Handler(http.server.SimpleHTTPRequestHandler):
    """A web server that knows ranges below /ranges/ and ignores them elsewhere."""

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not self.path.startswith("/ranges/") or not asked:
            super().do_GET()
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        part = data[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {asked[1]}-{asked[2]}/{len(data)}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The servers here are on this machine."""
    monkeypatch.setenv("GRISTMILL_ALLOW_LOCAL_ADDRESSES", "true")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(params=["ranges", "whole"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """A file on a web server, and its content."""
    data = os.urandom(9 * MEBIBYTE + 5)
    folder = tmp_path / "web" / request.param
    folder.mkdir(parents=True)
    (folder / "page.bin").write_bytes(data)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: Handler(*a, directory=str(tmp_path / "web"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{request.param}/page.bin", data
    server.shutdown()
    server.server_close()


def test_a_page_is_read_from_a_server_with_or_without_ranges(page: tuple[str, bytes]) -> None:
    uri, data = page
    assert [(info.uri, info.size_bytes) for info in storage.expand(uri)] == [(uri, len(data))]
    assert storage.read_bytes(uri) == data
    assert storage.content_hash(uri) == hashlib.sha256(data).hexdigest()
    assert (
        storage.read_range(uri, 5 * MEBIBYTE, 5 * MEBIBYTE + 7)
        == data[5 * MEBIBYTE : 5 * MEBIBYTE + 7]
    )
    assert storage.read_range(uri, len(data) - 2, len(data) + 9) == data[-2:]


def test_a_page_that_is_not_there_is_an_error(page: tuple[str, bytes]) -> None:
    uri, _ = page
    for wrong in (f"{uri}x", "http://127.0.0.1:9/x"):
        with pytest.raises(
            UsageError, match=f"^{re.escape(wrong)}: not found, or its server cannot be reached"
        ):
            storage.expand(wrong)
