"""Where a web address may lead: not to this machine, by no way; and with whose login."""

import base64
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from infra import storage
from infra.errors import UsageError
from infra.settings import settings
from infra.storage import strangers

REFUSED = r"^http://[^?]*: \S+ is an address of this machine or its link; GRISTMILL_ALLOW_LOCAL_"
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The setting as it is by default."""
    monkeypatch.delenv("GRISTMILL_ALLOW_LOCAL_ADDRESSES", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user allows local addresses."""
    monkeypatch.setenv("GRISTMILL_ALLOW_LOCAL_ADDRESSES", "true")
    settings.cache_clear()


class Site(http.server.BaseHTTPRequestHandler):
    """Answers every path with a file, `/moved` with a redirect, `/closed` only to a login."""

    seen: ClassVar[list[tuple[str, str | None]]]
    moved_to: str

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        closed = self.path.startswith("/closed") and not self.headers.get("Authorization")
        missing = self.path.startswith("/missing")
        status = 302 if self.path == "/moved" else 401 if closed else 404 if missing else 200
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.moved_to)
        self.send_header("Content-Length", "5" if status == 200 else "0")
        self.end_headers()
        if status == 200 and self.command == "GET":
            self.wfile.write(b"hello")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def site() -> Iterator[type[Site]]:
    """A running site; `moved_to` is its own address until a test says another."""

    class Mine(Site):
        seen: ClassVar[list[tuple[str, str | None]]] = []

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Mine.moved_to = f"http://127.0.0.1:{server.server_port}"
    yield Mine
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "ff02::1", "::ffff:127.0.0.1"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "fd00:ec2::254"),
        *("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254"),
        *("64:ff9b:1::1", "64:ff9b:1::5db8:d822", "::127.0.0.1", "::a9fe:a9fe", "::ffff:0:7f00:1"),
        *("::1%lo", "fd00:ec2::254%eth0", "::ffff:127.0.0.1%1"),
    ],
)
def test_an_address_of_this_machine_its_link_or_a_clouds_metadata_is_local(address: str) -> None:
    assert strangers.is_local(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "10.0.0.5", "192.168.1.9", "2606:2800::1"])
def test_other_machines_are_not(address: str) -> None:
    assert not strangers.is_local(address)


def own_addresses() -> list[str]:
    """Those of this machine's interfaces, but loopback's."""
    found = (each for addresses in psutil.net_if_addrs().values() for each in addresses)
    internet = [each for each in found if each.family in (socket.AF_INET, socket.AF_INET6)]
    return [each.address for each in internet if each.address not in ("127.0.0.1", "::1")]


def test_every_address_of_this_machines_interfaces_is_local() -> None:
    for address in own_addresses():
        assert strangers.is_local(address)
        carried = address if ":" in address else f"::ffff:{address}"
        assert strangers.is_local(carried)


def test_what_listens_on_an_interface_of_this_machine_is_not_read() -> None:
    mine = next((address for address in own_addresses() if ":" not in address), None)
    if mine is None:
        pytest.skip("this machine has no interface but loopback")
    with socket.create_server((mine, 0)) as listening, pytest.raises(UsageError, match=REFUSED):
        storage.expand(f"http://{mine}:{listening.getsockname()[1]}/a.html")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0.0.0.0", "2130706433", "0x7f000001", "127.1", "[::1]"]
)
@pytest.mark.parametrize("use", [storage.expand, storage.read_bytes, storage.open_read])
def test_no_spelling_of_this_machine_is_read_from(
    use: Callable[[str], Any], host: str, site: type[Site]
) -> None:
    port = site.moved_to.rsplit(":", 1)[1]
    with pytest.raises((UsageError, OSError)) as caught:
        use(f"http://{host}:{port}/x?key={SECRET}")
    assert SECRET not in str(caught.value)
    assert site.seen == []
    if host in ("127.0.0.1", "localhost"):
        assert isinstance(caught.value, UsageError) and "GRISTMILL_ALLOW_LOCAL" in str(caught.value)


def test_a_clouds_metadata_is_not_read() -> None:
    with pytest.raises(UsageError, match=REFUSED):
        storage.expand("http://169.254.169.254/latest/meta-data/")


def test_a_name_that_leads_here_is_refused_at_the_connection(
    monkeypatch: pytest.MonkeyPatch, site: type[Site]
) -> None:
    """Whatever the name server said before: each connection looks at the address it goes to."""
    port = int(site.moved_to.rsplit(":", 1)[1])
    real = socket.getaddrinfo

    def lookup(host: Any, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host == "pages.example" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(UsageError, match=REFUSED):
        storage.expand(f"http://pages.example:{port}/x")
    assert site.seen == []


def test_a_redirect_is_looked_at_too(monkeypatch: pytest.MonkeyPatch, site: type[Site]) -> None:
    local = strangers.is_local
    monkeypatch.setattr(strangers, "is_local", lambda host: host != "127.0.0.1" and local(host))
    here, site.moved_to = site.moved_to, "http://169.254.169.254/latest/"
    with pytest.raises(UsageError, match=REFUSED):
        storage.expand(f"{here}/moved")


@pytest.mark.parametrize("scheme", ["HTTP", "Http"])
def test_a_scheme_in_capitals_is_the_same_scheme(
    allowed: None, site: type[Site], scheme: str
) -> None:
    address = f"{site.moved_to}/x?key={SECRET}".replace("http", scheme)
    assert storage.read_bytes(address) == b"hello"
    assert [info.size_bytes for info in storage.expand(address)] == [5]


def test_a_scheme_in_capitals_leads_to_this_machine_no_more_than_another() -> None:
    with pytest.raises(UsageError, match="GRISTMILL_ALLOW_LOCAL_ADDRESSES"):
        storage.expand("HTTP://127.0.0.1:9/x")


def test_with_the_setting_this_machine_is_read_from(allowed: None, site: type[Site]) -> None:
    assert storage.read_bytes(f"{site.moved_to}/x") == b"hello"


def test_a_login_comes_from_netrc_for_its_host_alone(
    allowed: None, site: type[Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert storage.read_bytes(f"{site.moved_to}/closed") == b"hello"
    login = f"Basic {base64.b64encode(f'me:{SECRET}'.encode()).decode()}"
    assert {said for _, said in site.seen} == {login}
    site.seen.clear()
    there = site.moved_to.replace("127.0.0.1", "localhost")
    with pytest.raises(OSError, match=r"^http://localhost:\d+/closed: the server answers 401$"):
        storage.read_bytes(f"{there}/closed")
    assert {said for _, said in site.seen} == {None}


@pytest.mark.parametrize("path", ["missing", "closed"])
@pytest.mark.parametrize("use", [storage.expand, storage.read_bytes, storage.content_hash])
def test_no_error_repeats_a_query(
    use: Callable[[str], Any], path: str, allowed: None, site: type[Site]
) -> None:
    with pytest.raises((UsageError, OSError)) as caught:
        use(f"{site.moved_to}/{path}?X-Amz-Signature={SECRET}")
    assert f"{site.moved_to}/{path}" in str(caught.value)
    chain = [caught.value, caught.value.__cause__]
    assert SECRET not in " ".join(map(str, chain)) and caught.value.__suppress_context__
