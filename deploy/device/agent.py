"""Program on a device: opens models, times them, classifies images.

It is self-contained (Python 3.8, numpy and the runtime), and it writes no files: the searching machine
sends this text to a Python interpreter, here or over ssh, and talks to it by standard input and output.
The program ends with the connection, even while it measures.

Its output begins with ``GREETING``; what a login shell prints comes before that.

A message is a line of JSON, followed by as many bytes as its ``sizes`` add up to, the message's parts.
The first request is ``open`` with the runner, Python text that opens models of one runtime; then come
``measure`` and ``classify``. ``reference`` times the reference network, which ``measure`` runs between
models.

The clock of a run in one thread is that of the computing thread (its time on a core), not the wall
clock. On an idle machine the two agree within 1 %. On a busy one they differ: with four other processes
computing on two cores, a network of 6.6 ms took 14.8 ms by the wall clock and 6.9 ms by the thread's
clock (medians of 100). A runtime that computes in threads of its own is timed by the process's clock.
Several threads are timed by the wall clock.
"""

from __future__ import annotations

import faulthandler
import json
import os
import platform
import select
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

try:
    import numpy as np
except ImportError:  # said in the answer to the first request
    np = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO, Any

    Run = Callable[[], object]
    Clock = Callable[[], float]
    Message = Mapping[str, Any]
    Answer = tuple[dict[str, Any], list[bytes]]

GREETING = b"minnow: ready\n"
WARM_UP_S = 0.05
WARM_UP_RUNS = 10
MIN_RUNS = 20
BLOCK = 5  # runs in a row, of models in turns
UNDISTURBED = 0.25  # quantile of the reference's blocks that counts as undisturbed
HANGING_S = 900  # a request that takes longer hangs


def machine_name() -> str:
    """Return CPU model, core count, system and architecture, on which a latency depends."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        if names:
            model = names[0]
        else:  # a board with a device tree, such as a Raspberry Pi
            with open("/proc/device-tree/model", errors="replace") as file:
                model = file.read().strip("\0 \n") or model
    except OSError:
        pass
    return f"{model} x{os.cpu_count()}, {platform.system()} {platform.machine()}"


def thread_clock() -> Clock:
    """Return the clock of this thread's time on a core; the wall clock if that is coarse (Windows)."""
    coarse = time.get_clock_info("thread_time").resolution > 1e-5
    return time.perf_counter if coarse else time.thread_time


def process_clock() -> Clock:
    """Return the clock of all threads of this process; the wall clock if that is coarse (Windows)."""
    coarse = time.get_clock_info("process_time").resolution > 1e-5
    return time.perf_counter if coarse else time.process_time


def warm_up(run: Run) -> None:
    """Run a few times."""
    start, count = time.perf_counter(), 0
    while count < WARM_UP_RUNS or time.perf_counter() - start < WARM_UP_S:
        run()
        count += 1


def unfinished(count: int, most: int, start: float, budget_s: float) -> bool:
    """Return whether more runs are needed: ``MIN_RUNS``, then up to ``most`` within a budget of time."""
    return count < MIN_RUNS or (count < most and time.perf_counter() - start < budget_s)


def timed_block(run: Run, clock: Clock) -> list[float]:
    """Return the seconds of five runs in a row by ``clock``, after one that fills the caches."""
    run()
    return [_seconds(run, clock) for _ in range(BLOCK)]


def time_runs(run: Run, clock: Clock, most: int, budget_s: float) -> list[float]:
    """Return the seconds of runs by ``clock``, after a warm-up."""
    warm_up(run)
    times: list[float] = []
    start = time.perf_counter()
    while unfinished(len(times), most, start, budget_s):
        times.append(_seconds(run, clock))
    return times


def undisturbed_times(
    runs: Sequence[Run], reference: Run, usual: float, clock: Clock, most: int, budget_s: float
) -> tuple[list[list[float]], float]:
    """Return the seconds of each function's runs, divided by the slowdown of the machine at the moment.

    A core runs slower while others share its caches, its memory or its power. So blocks of the functions
    take turns, with blocks of the reference between them, whose slowdown the times are divided by.

    Args:
        runs: functions to time.
        reference: runs the reference network.
        usual: seconds of the reference on the undisturbed machine.
        clock: returns seconds.
        most: runs of each, at most.
        budget_s: seconds after which it stops, once each has ``MIN_RUNS`` runs.

    Returns:
        A list of seconds for each function, and the median slowdown; that is below 1 on a machine that
        was slower when the reference was first timed.
    """
    for run in (*runs, reference):
        warm_up(run)
    times: list[list[float]] = [[] for _ in runs]
    slowdowns = []
    start, before = time.perf_counter(), _median(timed_block(reference, clock))
    while unfinished(len(times[0]), most, start, budget_s):
        for run, own in zip(runs, times):  # noqa: B905  (strict is newer than Python 3.8)
            block = timed_block(run, clock)
            after = _median(timed_block(reference, clock))
            slowdowns.append((before + after) / (2 * usual))
            own.extend(seconds / slowdowns[-1] for seconds in block)
            before = after
    return times, _median(slowdowns)


def undisturbed_seconds(run: Run, clock: Clock, budget_s: float) -> float:
    """Return the seconds of a run on the undisturbed machine: the lower quartile of blocks."""
    warm_up(run)
    medians: list[float] = []
    start = time.perf_counter()
    while not medians or time.perf_counter() - start < budget_s:
        medians.append(_median(timed_block(run, clock)))
    return float(np.quantile(medians, UNDISTURBED))


class Agent:
    """The answers to requests, one method each; a request's ``do`` is the method's name.

    Each takes the request and its parts, and returns the answer and its parts.
    """

    def __init__(self) -> None:
        self._runner: dict[str, Any] = {}
        self._reference: Run = int

    def open(self, request: Message, parts: list[bytes]) -> Answer:
        """Load the runner and open the reference network."""
        if np is None:
            raise MissingError("numpy", "numpy")
        self._runner = {}
        exec(compile(parts[0], "runner", "exec"), self._runner)
        try:
            runtime = self._runner["version"]()
        except ModuleNotFoundError as error:
            raise MissingError(error.name or str(error), self._runner["PACKAGE"]) from None
        self._reference = self._run(request["reference"], parts, 1)
        return {"runtime": runtime, "machine": machine_name()}, []

    def reference(self, request: Message, parts: list[bytes]) -> Answer:
        """Time the reference network."""
        return {"seconds": undisturbed_seconds(self._reference, self._clock(), request["budget_s"])}, []

    def measure(self, request: Message, parts: list[bytes]) -> Answer:
        """Time models, in turns."""
        threads, most, budget_s = request["threads"], request["most"], request["budget_s"]
        runs = [self._run(model, parts, threads) for model in request["models"]]
        if threads > 1:
            times = [time_runs(run, time.perf_counter, most, budget_s / len(runs)) for run in runs]
            return {"seconds": times, "slowdown": 1.0}, []
        times, slowdown = undisturbed_times(
            runs, self._reference, request["usual_s"], self._clock(), most, budget_s
        )
        return {"seconds": times, "slowdown": slowdown}, []

    def classify(self, request: Message, parts: list[bytes]) -> Answer:
        """Return the logits ``(n, C)`` of images, one after the other."""
        classify = self._open(request["model"], parts, 1)
        images = np.frombuffer(parts[-1], dtype="<f4").reshape(request["shape"])
        logits = np.stack([np.asarray(classify(image[None]), "<f4").reshape(-1) for image in images])
        return {"shape": list(logits.shape)}, [logits.tobytes()]

    def _clock(self) -> Clock:
        return process_clock() if self._runner.get("OWN_THREADS") else thread_clock()

    def _open(self, model: Message, parts: list[bytes], threads: int) -> Callable[[Any], Any]:
        """Return a function from one image to its logits."""
        files = {name: parts[index] for name, index in model["files"].items()}
        opened: Callable[[Any], Any] = self._runner["open_model"](files, threads)
        return opened

    def _run(self, model: Message, parts: list[bytes], threads: int) -> Run:
        """Return a call that classifies a random image."""
        image = np.random.RandomState(0).random_sample(tuple(model["shape"])).astype(np.float32)
        return partial(self._open(model, parts, threads), image)


class MissingError(Exception):
    """A package is not installed.

    Args:
        module: that cannot be imported.
        package: to install.
    """

    def __init__(self, module: str, package: str) -> None:
        super().__init__(f"{module} is missing: {sys.executable} -m pip install {package}")


def _seconds(run: Run, clock: Clock) -> float:
    before = clock()
    run()
    return clock() - before


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))


def _read(stream: IO[bytes], idle_s: float) -> tuple[dict[str, Any], list[bytes]] | None:
    """Return the next message and its parts; None at the end, or where none comes for ``idle_s``."""
    if idle_s and not select.select([stream], [], [], idle_s)[0]:
        return None
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line.decode())
    parts = []
    for size in message.pop("sizes"):
        part = _exactly(stream, size)
        if part is None:
            return None
        parts.append(part)
    return message, parts


def _exactly(stream: IO[bytes], size: int) -> bytes | None:
    """Return as many bytes; None where the stream ends before."""
    blocks = []
    while size:
        block = stream.read(min(size, 1 << 20))
        if not block:
            return None
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)


def _write(stream: IO[bytes], message: Message, parts: Sequence[bytes]) -> None:
    stream.write(json.dumps({**message, "sizes": [len(part) for part in parts]}).encode() + b"\n")
    for part in parts:
        stream.write(part)
    stream.flush()


def _end_with_connection() -> None:
    """Wait for the end of the connection, and end this process; Windows notices it between requests."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(0, getattr(select, "POLLRDHUP", 0))  # beside the end of a pipe, that of a socket
        poll.poll()
        os._exit(0)


def serve(idle_s: float = 0.0) -> None:
    """Answer requests until the connection ends, or none comes for ``idle_s`` seconds (0: wait on)."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a runtime prints is no answer
    threading.Thread(target=_end_with_connection, daemon=True).start()
    answers.write(GREETING)
    answers.flush()
    requests, agent = os.fdopen(0, "rb", 0), Agent()
    while True:
        received = _read(requests, idle_s)
        if received is None:
            os._exit(0)  # without a runtime's farewell, which can hang
        request, parts = received
        faulthandler.dump_traceback_later(HANGING_S, exit=True)
        try:
            answer, results = getattr(agent, request["do"])(request, parts)
        except MissingError as error:
            answer, results = {"error": str(error), "kind": "missing"}, []
        except Exception as error:  # of a runtime, about a model
            reason = f"{type(error).__name__}: {error}"[:2000]
            answer, results = {"error": reason, "kind": "model"}, []
        faulthandler.cancel_dump_traceback_later()
        try:
            _write(answers, answer, results)
        except OSError:  # nobody is there to hear it
            os._exit(0)
