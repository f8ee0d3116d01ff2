"""What a run costs: processor time of extract to tokenize, of the same crawl grown by a file, and
of many small files.

    python -m tests.benchmarks.bench_shards crawl FOLDER 'GLOB'       the steps of one crawl
    python -m tests.benchmarks.bench_shards growth FOLDER 'GLOB'      all files but the last, then
    all python -m tests.benchmarks.bench_shards small FOLDER FILES        so many tiny WARC files,
    then pages

FOLDER takes the lakes and is removed first. Each prints one JSON object. Processor time is that of
the whole process tree (`cpu_seconds` of the manifests; of map steps, `cpu_seconds` of the shards'
notes).
"""

import glob
import json
import resource
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from flows.chain.chain import chain
from flows.chain.parameters import parse
from flows.running.children import Children, Outcome
from infra.manifest import SHARDS
from jobs.crawl.writing import warc

DATE = "2026-01-01T00:00:00Z"
WORDS = ("the", "miller", "grinds", "grain", "slowly", "while", "water", "turns", "his", "wheel")
WATCH_SECONDS = 0.2


def ingest(root: Path, crawl: list[str], **changes: Any) -> dict[str, Outcome]:
    """Step -> outcome of the steps from extract to tokenize."""
    tasks = chain(parse({"input": crawl, "root": str(root), **changes}), "tokenize")
    with Children(str(root)) as children:
        return {task.step.name: children.make(task) for task in tasks}


def notes(root: Path) -> dict[str, float]:
    """Shard -> processor seconds that its making took."""
    found = (root / SHARDS).glob("*/__notes/*.json")
    loaded = [json.loads(note.read_bytes()) for note in found]
    return {note["name"]: note["cpu_seconds"] for note in loaded}


def crawl(folder: Path, files: list[str]) -> dict[str, Any]:
    """Processor seconds of each step of one crawl."""
    made = ingest(folder / "lake", files)
    steps = {name: outcome.manifest.cpu_seconds for name, outcome in made.items()}
    return {"cpu_seconds": steps, "total": round(sum(steps.values()), 1)}


def growth(folder: Path, files: list[str]) -> dict[str, Any]:
    """The map steps' processor seconds of the last file: in a run over a crawl that grew by it, and
    its share of a run from scratch (by the bytes of its crawl files)."""
    fixed = {"tokenizer": {"type": "bytes"}}
    ingest(folder / "grown", files[:-1], **fixed)
    before = notes(folder / "grown")
    ingest(folder / "grown", files, **fixed)
    new = {name: cpu for name, cpu in notes(folder / "grown").items() if name not in before}
    ingest(folder / "scratch", files, **fixed)
    whole = notes(folder / "scratch")
    same = {name: whole[name] for name in new}
    return {
        "shards": len(whole),
        "new_shards": len(new),
        "cpu_seconds_grown": round(sum(new.values()), 2),
        "cpu_seconds_of_these_shards_from_scratch": round(sum(same.values()), 2),
        "cpu_seconds_from_scratch": round(sum(whole.values()), 2),
        "ratio_to_share": round(sum(new.values()) / sum(same.values()), 3),
    }


def small(folder: Path, count: int) -> dict[str, Any]:
    """So many tiny WARC files, then so many HTML pages, through extract to tokens: files of the
    lake, memory."""
    warcs, pages = folder / "warcs", folder / "pages"
    warcs.mkdir(parents=True)
    pages.mkdir()
    for number in range(count):
        url, html = f"https://example.org/{number}", page(number)
        name = f"tiny-{number:06d}.warc"
        (warcs / name).write_bytes(warc(name, "tiny", DATE, [(url, html)]))
        (pages / f"page-{number:06d}.html").write_text(html)
    found = {}
    for kind, crawled in (("warc", warcs), ("html", pages)):
        root = folder / f"lake-{kind}"
        with peaks() as peak:
            made = ingest(root, [str(crawled)], filter={"rules": {}})
        last = made["tokenize"].manifest
        found[kind] = {
            "rows": made["extract"].manifest.counts.rows_in,
            "tokens": last.details["splits"]["train"]["tokens"],
            "extract_shards": len(made["extract"].manifest.data_files()),
            "files_in_the_lake": sum(path.is_file() for path in root.rglob("*")),
            "cpu_seconds": round(sum(o.manifest.cpu_seconds for o in made.values()), 1),
            "peak_mb": {name: round(size / 1e6) for name, size in sorted(peak.items())},
        }
    return found


def page(number: int) -> str:
    """A page that no other page is like."""
    step = number * 7919
    drawn = [WORDS[(step + place * place * 31 + number % (place + 3)) % 10] for place in range(120)]
    text = f"{number} {' '.join(drawn)}."
    return (
        f"<html><head><title>{number}</title></head><body><main><p>{text}</p></main></body></html>"
    )


@contextmanager
def peaks() -> Iterator[dict[str, int]]:
    """The largest resident size (bytes) of this process and of the Spark driver's Python and JVM
    inside the block."""
    found: dict[str, int] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(WATCH_SECONDS):
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    line, size = process.cmdline(), process.memory_info().rss
                except psutil.Error:
                    continue
                name = role(process, line)
                found[name] = max(found.get(name, 0), size)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def role(process: psutil.Process, line: list[str]) -> str:
    """Which of the processes it is."""
    if process.pid == psutil.Process().pid:
        return "command"
    if "jobs.spark.driver" in line:
        return "driver"
    return "jvm" if process.name() == "java" else "worker"


def main() -> None:
    """Run one of them."""
    what, folder = sys.argv[1], Path(sys.argv[2])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if what == "small":
        found = small(folder, int(sys.argv[3]))
    else:
        files = sorted(glob.glob(sys.argv[3]), key=lambda file: (Path(file).stat().st_size, file))
        found = {"crawl": crawl, "growth": growth}[what](folder, files)
    own = resource.getrusage(resource.RUSAGE_SELF)
    found["command_cpu_seconds"] = round(own.ru_utime + own.ru_stime, 1)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
