"""What a web address may lead to, and with whose password.

An address in a configuration may be somebody else's wish: `http://169.254.169.254/` hands out the
credentials of a cloud machine, `http://127.0.0.1/` is what listens for this machine alone. Each
connection is looked at where it is made, by the address that it goes to: a name, a redirect, a name
server that changes its mind lead nowhere else. A password comes from the user's netrc file, for the
host of each request, never from the address itself.
"""

import ipaddress
import netrc
import os
import socket
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from infra.settings import settings

METADATA = {
    ipaddress.ip_address(each)
    for each in (
        *("fd00:ec2::254", "fd20:ce::254", "100.100.100.200"),  # AWS, Google, Alibaba
        *("168.63.129.16", "192.0.0.192"),  # Azure, Oracle
    )
}
"""Where clouds hand out credentials, beside the link-local 169.254.169.254."""
CARRIERS = [ipaddress.ip_network(each) for each in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")]
"""IPv6 addresses whose last 32 bits are an IPv4 address: NAT64, IPv4-compatible, translated."""
OWN_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
"""Translated within a network, by rules of its own: to any of its addresses."""
INTERNET = (socket.AF_INET, socket.AF_INET6)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class LocalAddressError(OSError):
    """The connection would have led to this machine or its link."""


async def session(**options: Any) -> aiohttp.ClientSession:
    """A session whose connections are checked, as fsspec asks for one."""
    options.pop("loop", None)
    connector = aiohttp.TCPConnector(socket_factory=checked_socket)
    return aiohttp.ClientSession(connector=connector, middlewares=(with_login,), **options)


def checked_socket(info: Any) -> socket.socket:
    """The socket for an address that was looked up. Raises LocalAddressError."""
    family, kind, protocol, _, address = info
    host = str(address[0])
    if is_local(host) and not settings().allow_local_addresses:
        raise LocalAddressError(f"{host} is an address of this machine or its link")
    return socket.socket(family=family, type=kind, proto=protocol)


def is_local(host: str) -> bool:
    """Whether an IP address is loopback, one of this machine's interfaces, link-local, unspecified,
    of many or a cloud's metadata, also where an IPv6 address carries it."""
    address = _carried(_without_zone(host))
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or (address.version == 4 and int(address) < 1 << 24)  # 0.0.0.0/8: this host
        or address in METADATA
        or address in OWN_NAT64
        or address in _interfaces()
    )


def _without_zone(host: str) -> Address:
    return ipaddress.ip_address(host.partition("%")[0])


def _interfaces() -> set[Address]:
    """The addresses of this machine as they are now."""
    found = (each for addresses in psutil.net_if_addrs().values() for each in addresses)
    return {_without_zone(each.address) for each in found if each.family in INTERNET}


def _carried(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in network for network in CARRIERS):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


async def with_login(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request, each of a redirect too, with the login that netrc has for its host."""
    login = login_for(request.url.host or "")
    if login is not None and "Authorization" not in request.headers:
        request.headers["Authorization"] = login
    return await handler(request)


def login_for(host: str) -> str | None:
    """What the user's netrc file (NETRC, ~/.netrc) says of a host, as a header's value."""
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    if not path.is_file():
        return None
    try:
        found = netrc.netrc(str(path)).authenticators(host)
    except netrc.NetrcParseError as error:
        raise OSError(f"{path}: line {error.lineno}: {error.msg}") from None
    return aiohttp.encode_basic_auth(found[0], found[2]) if found else None
