"""What processes used: processor seconds and peak memory."""

from pathlib import Path

import psutil


def usage() -> tuple[float, int]:
    """CPU seconds of this process and its descendants so far, and their peak memory in bytes.

    The peak is the sum of each process's own: an upper bound. Of descendants that have ended, the
    CPU seconds count where their parent waited for them.
    """
    cpu_seconds, peak_bytes = 0.0, 0
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        try:
            times = process.cpu_times()
            cpu_seconds += times.user + times.system
            cpu_seconds += getattr(times, "children_user", 0.0)
            cpu_seconds += getattr(times, "children_system", 0.0)
            peak_bytes += _peak_bytes(process)
        except (psutil.Error, OSError):
            continue
    return cpu_seconds, peak_bytes


def _peak_bytes(process: psutil.Process) -> int:
    """The largest resident size so far; the present one where the system does not keep the peak."""
    peak_bytes = peak_resident_bytes(str(process.pid))
    return int(process.memory_info().rss) if peak_bytes is None else peak_bytes


def peak_resident_bytes(process: str = "self") -> int | None:
    """The largest resident size of a process's program, not of the one that started it, so far;
    None where the system does not keep it."""
    try:
        with Path(f"/proc/{process}/status").open("rb", buffering=0) as status:
            told = status.read(4096)
    except FileNotFoundError:
        return None
    _, found, rest = told.partition(b"VmHWM:")
    return int(rest.split(maxsplit=1)[0]) << 10 if found else None
