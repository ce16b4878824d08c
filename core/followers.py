"""Processes that end with their parent; this module imports little, so that they do so from the start."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def follow_parent() -> None:
    """End this process when its parent ends, in any way, and leave Ctrl-C to the parent.

    On Linux the kernel does it, whatever this process is busy with; elsewhere, and where the parent has
    ended already, a thread, which may have to wait until a library is loaded.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def wait_for_its_end() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()


def follow(connection: Connection) -> None:
    """Follow the parent, and call the function that it sends first with the connection.

    What the function's module imports is imported after this process has begun to follow.
    """
    follow_parent()
    with contextlib.suppress(EOFError, ConnectionError):
        work = connection.recv()
        work(connection)
