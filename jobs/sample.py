"""Step `sample`: a real crawl without a download, for the demo and the tests.

Out: WARC files with the documentation of Python and of installed packages
(`jobs.page.documentation`) as request and response records. One row is one module; those without a
page are rejected. The pages, their order and the files' bytes follow from the parameters: dates are
fixed, `environment` names the installed versions.

    python -m jobs.sample TASK.json
"""

import contextlib
import json
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path

from infra import storage
from infra.errors import GristmillError
from infra.manifest import SHORT, Counts, Manifest, digest_of
from infra.owner import die_with_parent
from infra.parameters import option, parameters
from infra.process import emit, emit_failure
from infra.step import Launch, Rate, Step, Task
from jobs.crawl.writing import warc
from jobs.page.documentation import LIBRARIES, REASONS, chosen, modules, rendered

HOST = "pydoc.example.invalid"
DATE = "2026-01-01T00:00:00Z"


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
    version=3,
    help="A crawl to try things on: documentation of Python and installed packages as WARC.",
    parameters=SampleParameters,
    reads=(),
    module="jobs.sample",
    launch=Launch.CHILD,
    rate=Rate(60.0, "run"),
    files={"pydoc-*.warc.gz": "a WARC file: a request and a response record for each page"},
    reasons=REASONS,
)


def environment() -> str:
    """Digest of this Python's version and of the documented packages' versions."""
    owners = metadata.packages_distributions()
    versions = {name: metadata.version(owners[name][0]) for name in LIBRARIES if name in owners}
    return digest_of({"python": sys.version.split()[0], **versions})[:SHORT]


def run(task: Task) -> Manifest:
    """Write the WARC files of a crawl artifact."""
    wanted: SampleParameters = task.parameters
    with task.lake.begin(task.identity, task.name) as writer:
        names = chosen(modules(), wanted.pages, wanted.seed)
        pages: dict[str, str] = {}
        rejected: Counter[str] = Counter()
        for made, failures in rendered(names, wanted.max_page_bytes):
            pages.update(made)
            rejected += failures
            done = len(pages) + rejected.total()
            emit("progress", step="sample", done=done, total=len(names), unit="modules")
        ordered = [(f"https://{HOST}/{name}.html", pages[name]) for name in sorted(pages)]
        total_bytes = 0
        for shard in range(wanted.shards):
            file = f"pydoc-{shard:05d}.warc.gz"
            data = warc(file, "pydoc pages", DATE, ordered[shard :: wanted.shards])
            storage.write_bytes(writer.file(file), data)
            total_bytes += len(data)
        return writer.commit(
            Counts(len(names), len(pages), dict(rejected), {"bytes_out": total_bytes})
        )


def main() -> None:
    """Entry point of the child process."""
    die_with_parent()
    try:
        task = Task.from_request(STEP, json.loads(Path(sys.argv[1]).read_bytes()))
        with contextlib.suppress(BrokenPipeError):
            emit("result", digest=run(task).digest)
    except GristmillError as error:
        emit_failure(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
