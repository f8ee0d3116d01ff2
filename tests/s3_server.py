"""A real S3 server (moto's) on loopback for tests, and the environment that points at it."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from infra import storage
from infra.settings import settings
from infra.storage import s3

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def one_at_a_time(application: Application) -> Application:
    """moto looks and stores in two steps; a store that honours `If-None-Match` does it in one."""
    lock = threading.Lock()

    def answer(environment: dict[str, Any], start: Any) -> Iterable[bytes]:
        with lock if "HTTP_IF_NONE_MATCH" in environment else contextlib.nullcontext():
            return application(environment, start)

    return answer


@contextlib.contextmanager
def s3_server(middleware: Callable[[Application], Application] = one_at_a_time) -> Iterator[str]:
    """The endpoint of a server that runs while the block does.

    `middleware` sees each request before moto does.
    """
    application = middleware(DomainDispatcherApplication(create_backend_app))
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def use_s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the environment, and what was read from it, at the server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    forget_s3()


def forget_s3() -> None:
    """Settings and connections are read again from the environment."""
    settings.cache_clear()
    s3.store.cache_clear()


def make_bucket(bucket: str) -> None:
    """A new bucket on the server in use."""
    storage.filesystem(f"s3://{bucket}")[0].call_s3("create_bucket", Bucket=bucket)
