"""How a child process dies with its parent, whatever kills the parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def lifeline(parent_pid: int) -> Callable[[], None]:
    """Return what a child has to call after the fork so that the kernel kills it when its parent ends.

    Everything that could wait for a lock is done here, before the fork. Does nothing where there is no Linux.
    """
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it ended between the fork and the line above
            os._exit(1)

    return bind
