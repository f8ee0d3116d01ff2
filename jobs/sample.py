"""Step `sample`: a real crawl without a download, for the demo and the tests.

Renders the documentation of Python's standard library and of installed packages to HTML with `pydoc`: thousands of real pages with real
boilerplate, natural duplicates and near-duplicates, written as WARC 1.1 files with request and response records (ISO 28500:2017).
Modules are imported in child processes, with muted output; one that fails, hangs or takes the process with it is counted as rejected.
The pages, their order and the files' bytes follow from the parameters: dates are fixed, `environment` names the installed versions.

    python -m jobs.sample TASK.json
"""

import base64
import contextlib
import gzip
import hashlib
import importlib.util
import json
import os
import pkgutil
import re
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from infra import storage
from infra.errors import GristmillError
from infra.manifest import Counts, Manifest, digest_of
from infra.parameters import option, parameters
from infra.process import die_with_parent, emit, emit_failure
from infra.process import run as run_child
from infra.step import Launch, Rate, Step, Task

HOST = "pydoc.example.invalid"
DATE = "2026-01-01T00:00:00Z"
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
LIBRARIES = (
    *(
        "aiohttp",
        "anyio",
        "click",
        "docker",
        "fontTools",
        "fsspec",
        "graphql",
        "httpx",
        "hypothesis",
        "jinja2",
        "jsonschema",
        "matplotlib",
    ),
    *(
        "networkx",
        "numpy",
        "pip",
        "pygments",
        "requests",
        "rich",
        "scipy",
        "setuptools",
        "sklearn",
        "urllib3",
        "werkzeug",
        "yaml",
    ),
)
"""Installed packages that import quickly and explain themselves; those that are missing are left out."""
SKIPPED = {
    "antigravity",
    "this",
    "idlelib",
    "turtledemo",
    "turtle",
    "lib2to3",
    "test",
    "tests",
    "testing",
    "conftest",
    "__main__",
}
SKIPPED |= {
    "__pycache__",
    "_vendor",
    "ensurepip",
    "tkinter",
    "msilib",
    "benchmarks",
    "externals",
    "array_api_compat",
    "array_api_extra",
}
ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,16}\b")
CODE = re.compile(r"^.*&lt;code object.*\n", re.MULTILINE)
CHILDREN = 2
PARTS = 16


@parameters
class SampleParameters:
    """Which pages to render."""

    pages: int = option(3000, "pages at most; a seeded choice of all modules", unit="pages", ge=1)
    shards: int = option(4, "WARC files", unit="files", ge=1)
    seed: int = option(0, "seed of the choice")
    max_page_bytes: int = option(
        200_000, "larger pages are left out: lists of inherited methods", unit="bytes", ge=1
    )
    environment: str = option(
        "", "digest of the Python and package versions that are documented (`environment()`)"
    )


STEP = Step(
    name="sample",
    kind="crawl",
    version=2,
    help="A crawl to try things on: documentation of Python and its installed packages as WARC.",
    parameters=SampleParameters,
    reads=(),
    module="jobs.sample",
    launch=Launch.CHILD,
    rate=Rate(60.0, "run"),
)


def environment() -> str:
    """Digest of this Python's version and of the documented packages' versions."""
    owners = metadata.packages_distributions()
    versions = {name: metadata.version(owners[name][0]) for name in LIBRARIES if name in owners}
    return digest_of({"python": sys.version.split()[0], **versions})[:12]


def modules() -> list[str]:
    """The names of all modules that can be documented, sorted; nothing is imported."""
    found = {
        name for name in sys.stdlib_module_names if name not in SKIPPED and not name.startswith("_")
    }
    folders = [(Path(sysconfig.get_path("stdlib"), name), name) for name in sorted(found)]
    for name in LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is not None:
            found.add(name)
            folders += [(Path(folder), name) for folder in spec.submodule_search_locations or []]
    for folder, name in folders:
        found.update(below(folder, name))
    return sorted(found)


def below(folder: Path, package: str) -> Iterator[str]:
    """The modules in a package's folder and its subfolders."""
    for info in pkgutil.iter_modules([str(folder)]):
        if info.name in SKIPPED or info.name.startswith("test_"):
            continue
        name = f"{package}.{info.name}"
        yield name
        if info.ispkg:
            yield from below(folder / info.name, name)


def chosen(names: list[str], pages: int, seed: int) -> list[str]:
    """`pages` of the names, by a seeded hash of the name, sorted."""
    ranked = sorted(
        names, key=lambda name: hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    )
    return sorted(ranked[:pages])


def run(task: Task) -> Manifest:
    """Write the WARC files of a crawl artifact. One row is one module; the manifest's details count the bytes."""
    wanted: SampleParameters = task.parameters
    writer = task.lake.begin(task.identity, task.name)
    names = chosen(modules(), wanted.pages, wanted.seed)
    done, pages, rejected = 0, {}, dict.fromkeys(("import_failed", "crashed", "too_large"), 0)
    with (
        tempfile.TemporaryDirectory(prefix="gristmill-sample-") as folder,
        ThreadPoolExecutor(CHILDREN) as pool,
    ):
        size = -(-len(names) // PARTS)
        parts = [names[start : start + size] for start in range(0, len(names), size)]
        for rendered, failures in pool.map(
            lambda part: render_part(part, Path(folder), wanted.max_page_bytes), parts
        ):
            pages.update(rendered)
            for reason, count in failures.items():
                rejected[reason] += count
            done += len(rendered) + sum(failures.values())
            emit("progress", step="sample", done=done, total=len(names))
    ordered = sorted(pages)
    total_bytes = 0
    for shard in range(wanted.shards):
        mine = ordered[shard :: wanted.shards]
        data = warc(f"pydoc-{shard:05d}.warc.gz", [(name, pages[name]) for name in mine])
        storage.write_bytes(writer.file(f"pydoc-{shard:05d}.warc.gz"), data)
        total_bytes += len(data)
    counts = Counts(
        len(names),
        len(pages),
        {reason: n for reason, n in rejected.items() if n},
        {"bytes_out": total_bytes},
    )
    return writer.commit(counts)


def render_part(
    names: list[str], folder: Path, max_page_bytes: int
) -> tuple[dict[str, str], dict[str, int]]:
    """Pages by module and failures by reason. A child that dies is started again behind the module that killed it."""
    pages: dict[str, str] = {}
    failures = {"import_failed": 0, "crashed": 0, "too_large": 0}
    left = names
    while left:
        request = folder / f"{uuid.uuid4().hex}.json"
        request.write_text(json.dumps(left))
        log = request.with_suffix(".log")
        command = [sys.executable, "-m", "jobs.sample", "--render", str(request)]
        seen = 0
        try:
            for event in run_child(
                command, log, "sample", {"PYTHONHASHSEED": "0", "MPLBACKEND": "agg"}
            ):
                seen += 1
                if event["event"] == "page" and event["bytes"] > max_page_bytes:
                    failures["too_large"] += 1
                elif event["event"] == "page":
                    pages[event["module"]] = Path(event["file"]).read_text()
                else:
                    failures["import_failed"] += 1
            left = left[seen:]
            failures["crashed"] += len(left)
            break
        except GristmillError:
            failures["crashed"] += 1
            left = left[seen + 1 :]
    return pages, {reason: count for reason, count in failures.items() if count}


def render(request: Path) -> None:
    """In the child: one event a module, its page in a file beside the request."""
    import pydoc
    import signal
    import warnings

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError("module took too long")

    signal.signal(signal.SIGALRM, give_up)
    warnings.simplefilter("ignore")
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ.clear()  # modules show what they find there
    os.environ.update(
        {"PATH": "/usr/bin:/bin", "HOME": "/", "PYTHONHASHSEED": "0", "MPLBACKEND": "agg"}
    )
    sys.argv[1:] = []
    time.time = lambda: 0.0
    html = pydoc.HTMLDoc()
    prefixes = sorted(
        {sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")},
        key=len,
        reverse=True,
    )
    for number, name in enumerate(json.loads(request.read_text())):
        signal.alarm(20)
        try:
            found = pydoc.resolve(name)
            if found is None:
                raise ImportError(name)
            described = found[0]
            page = html.page(pydoc.describe(described), html.document(described, name))
            signal.alarm(0)
        except (Exception, SystemExit):
            events.write(json.dumps({"event": "rejected", "module": name}) + "\n")
            continue
        page = CODE.sub("", ADDRESS.sub("0x0", page))
        for prefix in prefixes:
            page = page.replace(prefix, "/usr/lib/python3")
        file = request.with_suffix(f".{number}.html")
        file.write_text(page, errors="replace")
        events.write(
            json.dumps(
                {"event": "page", "module": name, "file": str(file), "bytes": file.stat().st_size}
            )
            + "\n"
        )
    events.flush()
    os._exit(0)


def warc(filename: str, pages: list[tuple[str, str]]) -> bytes:
    """A WARC file, one gzip member a record: warcinfo, then a request and a response for each page (module, HTML)."""
    info = b"software: gristmill sample\r\nformat: WARC File Format 1.1\r\ndescription: pydoc pages\r\n"
    records = [
        record("warcinfo", filename, "application/warc-fields", info, {"WARC-Filename": filename})
    ]
    for name, page in pages:
        url = f"https://{HOST}/{name}.html"
        request = f"GET /{name}.html HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: gristmill\r\nAccept: text/html\r\n\r\n".encode()
        body = page.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        response_id = record_id("response", url)
        fields = {"WARC-Target-URI": url, "WARC-Payload-Digest": sha1(body)}
        records.append(
            record("response", url, "application/http; msgtype=response", head + body, fields)
        )
        concurrent = {"WARC-Target-URI": url, "WARC-Concurrent-To": response_id}
        records.append(
            record("request", url, "application/http; msgtype=request", request, concurrent)
        )
    return b"".join(gzip.compress(each, 6, mtime=0) for each in records)


def record(kind: str, key: str, content_type: str, block: bytes, fields: dict[str, str]) -> bytes:
    """One WARC record."""
    header = {
        "WARC-Type": kind,
        "WARC-Record-ID": record_id(kind, key),
        "WARC-Date": DATE,
        **fields,
        "WARC-Block-Digest": sha1(block),
        "Content-Type": content_type,
        "Content-Length": str(len(block)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in header.items())
    return f"WARC/1.1\r\n{lines}\r\n".encode() + block + b"\r\n\r\n"


def record_id(kind: str, key: str) -> str:
    """A record id that follows from the record's type and URL."""
    return f"<urn:uuid:{uuid.uuid5(NAMESPACE, f'{kind} {key}')}>"


def sha1(data: bytes) -> str:
    """A digest as WARC spells it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def main() -> None:
    """Entry point of the child process."""
    die_with_parent()
    if sys.argv[1] == "--render":
        render(Path(sys.argv[2]))
    try:
        with contextlib.suppress(BrokenPipeError):
            emit(
                "result",
                digest=run(
                    Task.from_request(STEP, json.loads(Path(sys.argv[1]).read_bytes()))
                ).digest,
            )
    except GristmillError as error:
        emit_failure(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
