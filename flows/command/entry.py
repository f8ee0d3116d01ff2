"""Entry point of the command `gristmill`: what it imports takes seconds, and Ctrl-C may come
meanwhile."""

import os
import signal
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command. Ctrl-C before it has begun ends it in one line; whoever closed its output
    does not see it."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    try:
        from flows.command.cli import main as command
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stderr.write("interrupted\n")
        os._exit(INTERRUPTED)
    command()


if __name__ == "__main__":
    main()
