"""The process that started this one, seen from here: its end is noticed."""

import ctypes
import os
import signal
import sys

import psutil

PARENT = "GRISTMILL_PARENT"
"""Environment variable: the id of the process that started the innermost of `Child`'s trees."""
PR_SET_PDEATHSIG = 1


def die_with_parent(sign: int = signal.SIGTERM) -> None:
    """Ask the kernel to send `sign` to this process when its parent dies.

    Called first thing in a child.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, sign)
        # The kernel tells of deaths to come; the parent may have died before it was asked.
        if owner_is_gone():
            os.kill(os.getpid(), sign)


def owner_is_gone() -> bool:
    """Whether the process that started this one's tree has ended, reaped or not.

    False for a process that no `Child` started.
    """
    owner = int(os.environ.get(PARENT, "0"))
    try:
        return owner != 0 and psutil.Process(owner).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
