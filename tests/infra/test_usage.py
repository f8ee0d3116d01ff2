"""What processes used."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from infra.process import Child
from infra.usage import usage

READY = """
import threading
from infra.process import emit
block = bytearray(b"x") * (64 << 20)
emit("ready")
threading.Event().wait()
"""


def test_usage_counts_this_process_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with Child([sys.executable, "-c", READY], tmp_path / "child.log") as child:
        before = usage()
        next(child.events())
        cpu_seconds, peak_bytes = usage()
    assert cpu_seconds >= before[0] > 0
    assert peak_bytes > psutil.Process(os.getpid()).memory_info().rss // 2 + (64 << 20)
