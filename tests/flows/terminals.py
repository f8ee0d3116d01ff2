"""A command on a terminal of its own."""

import contextlib
import os
import pty
import subprocess


def on_a_terminal(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Exit code of a command, and what it shows on a terminal."""
    ours, terminal = pty.openpty()
    with subprocess.Popen(
        command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
            while part := os.read(ours, 1 << 16):
                shown += part
        os.close(ours)
    return process.returncode, shown.decode()
