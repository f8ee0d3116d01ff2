"""Asking a server as a stranger, as its user, and as a page of another origin."""

import base64
import time
import urllib.error
import urllib.request
from http.client import HTTPMessage

import psutil

FOREIGN = "http://pages.example"
DEADLINE_SECONDS = 120


def asked(url: str, login: str = "", **headers: str) -> tuple[int, HTTPMessage]:
    """Status and headers of the answer to a GET; `login`: user:password."""
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def wait_for(url: str) -> None:
    """Until something answers there."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            asked(url)
            return
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            psutil.wait_procs([psutil.Process()], timeout=0.1)


def allows(headers: HTTPMessage) -> str | None:
    """The origin whose pages may read the answer."""
    return headers.get("Access-Control-Allow-Origin")
