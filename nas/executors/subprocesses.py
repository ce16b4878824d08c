"""Start and end of worker processes: Ctrl-C, thread limits, and the death of the parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker


def follow_parent() -> None:
    """End this process when its parent ends, in any way, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait_for_its_end() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Delay Ctrl-C, and hide it from processes started inside: their imports would print a traceback."""
    resource_tracker.ensure_running()  # started inside, it would lift the block again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextlib.contextmanager
def threads_limited(threads: int) -> Iterator[None]:
    """Limit processes started inside to ``threads`` threads; libraries read the limit when they load."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
