"""Trials on a Ray cluster: tasks that Ray places, of one driver that alone writes the study.

What trials read is put into Ray's object store once. It reaches each node once, where the processes map
it into memory. A trial whose node is lost begins again on another; one whose own process dies fails.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import secrets
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError, one_line
from core.runtime import cpu_count
from nas.executors import ray_task
from nas.executors.base import Resources, Watcher, Work
from nas.executors.worker_processes import MAX_STARTUP_CRASHES, overdue
from nas.search import EvaluationError, Executor
from nas.trial import Execution, Proposal, Trial

_LOOK_EVERY = 1.0  # seconds, at which nodes and time limits are looked at
_PATIENCE = 10.0  # seconds, for an address to answer
_MOST_LOSSES = 3  # nodes that a trial may lose before it fails: it may be what kills them
_REASON = 300  # characters of Ray's own words
_QUIET = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}


@dataclass
class _Flight:
    """A trial that was submitted."""

    proposal: Proposal
    stream: Any  # the messages of its task
    node: str | None = None  # id, once the task has begun
    ready: bool = False  # has its evaluator
    started: float = 0.0  # the evaluation, seconds since 1970
    losses: int = 0  # nodes lost


class RayExecutor(Executor):
    """Trials on a Ray cluster: the one that runs on this machine, else one that ends with the search.

    ``ray:ADDRESS`` is the cluster there. Trials take one core each unless they are given more, and as
    many run as all nodes have room for, or fewer where ``workers`` says so.
    """

    address: str | None = None

    def __init__(self, work: Work, resources: Resources, watcher: Watcher) -> None:
        self._ray = _imported()
        self._work, self._resources, self._watcher = work, resources, watcher
        self._cpus = 1.0 if resources.cpus is None else resources.cpus
        self._flights: list[_Flight] = []
        self._refused: set[str] = set()  # ids of nodes with other versions
        self._gone: set[str] = set()  # ids of nodes that were lost
        self._startup_crashes = 0  # processes in a row that died before they were ready
        self._looked = 0.0
        self._names: dict[str, str] = {}  # of the living nodes, by id
        self._room: dict[str, int] = {}  # trials at a time, by id
        self._said: object = None  # the state last given to the watcher
        self._connect()
        try:
            self._look()
            self._prepare()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """Number of trials that the nodes have room for, at most ``workers``; 1 if they have none."""
        room = sum(room for node, room in self._room.items() if node not in self._refused)
        return max(1, room if self._resources.workers is None else min(self._resources.workers, room))

    def submit(self, proposal: Proposal) -> None:
        """Queue an evaluation; Ray starts it where there is room."""
        self._flights.append(_Flight(proposal, self._begin(proposal)))
        self._tell()

    def collect(self) -> Trial | None:
        """Wait for the next evaluation to end; ``None``: nodes have joined."""
        before = self.slots
        while self.slots <= max(before, len(self._flights)):
            if (trial := self.step()) is not None:
                return trial
        return None

    def step(self) -> Trial | None:
        """Wait for the next message of a task, or a second; return a trial that has ended."""
        streams = [flight.stream for flight in self._flights]
        ready, _ = self._ray.wait(streams, num_returns=1, timeout=_LOOK_EVERY)
        for flight in [flight for flight in self._flights if flight.stream in ready]:
            if (trial := self._advance(flight)) is not None:
                return self._ended(flight, trial)
        if time.monotonic() < self._looked + _LOOK_EVERY:
            return None
        self._look()
        limit = self._resources.timeout
        for flight in self._flights:
            trial = None
            if flight.node is not None and flight.node not in self._room:  # its task may not notice
                trial = self._lost(flight)
            elif limit is not None and flight.ready and time.time() > flight.started + limit:
                self._ray.cancel(flight.stream, force=True)
                trial = flight.proposal.fail(self._on(flight, overdue(limit)))
            if trial is not None:
                return self._ended(flight, trial)
        return None

    def close(self) -> None:
        """End the trials, and the cluster if it was started for them."""
        for flight in self._flights:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._ray.cancel(flight.stream, force=True)
        self._flights.clear()
        self._ray.shutdown()

    @classmethod
    def check(cls) -> None:
        """Check that Ray is installed, and that the cluster at the address takes this machine.

        Raises:
            UserError: it is not, or does not.
        """
        ray = _imported()
        if cls.address is not None:
            _join(ray, cls.address)
            ray.shutdown()

    def _connect(self) -> None:
        """Connect to the cluster, or start one on this machine.

        Raises:
            UserError: it cannot be used.
        """
        if self.address is not None:
            _join(self._ray, self.address)
            return
        try:
            _join(self._ray, "auto")
        except _NoClusterError:
            with _signals_kept():
                self._ray.init(address="local", num_cpus=cpu_count(), include_dashboard=False, **_QUIET)
            self._watcher.note("started a Ray cluster on this machine, for this search alone")

    def _prepare(self) -> None:
        """Put the work into the object store, and make the task.

        Raises:
            UserError: the store is too small.
        """
        self._ray.cloudpickle.register_pickle_by_value(ray_task)
        try:
            self._factory = [self._ray.put(self._work.distant())]  # in a list: tasks fetch it themselves
        except self._ray.exceptions.ObjectStoreFullError as error:
            raise UserError(
                f"Ray's object store is too small for the data of this search ({_words(error)}); start "
                "the nodes with a larger --object-store-memory"
            ) from None
        self._key, self._versions = secrets.token_hex(8), ray_task.versions()
        self._task = self._ray.remote(ray_task.evaluate)
        nodes, room = len(self._room), sum(self._room.values())
        plural = "s" if nodes > 1 else ""
        self._watcher.note(f"Ray: {nodes} node{plural} with room for {room} trials at a time")
        if not any(self._room.values()):
            gpus = f" and {self._resources.gpus:g} GPUs" if self._resources.gpus else ""
            self._watcher.warn(f"no node has {self._cpus:g} CPUs{gpus}: trials wait until one joins")

    def _begin(self, proposal: Proposal) -> Any:
        options: dict[str, Any] = {
            "num_cpus": self._cpus,
            "num_gpus": self._resources.gpus,
            "max_retries": 0,
            "num_returns": "streaming",
            "name": f"trial {proposal.number}",
        }
        if self._refused:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(self._refused))})"}
        return self._task.options(**options).remote(
            self._key,
            self._versions,
            self._factory,
            pickle.dumps(proposal),
            self._work.checkpoint(proposal),
        )

    def _again(self, flight: _Flight) -> None:
        flight.stream, flight.node, flight.ready = self._begin(flight.proposal), None, False
        self._tell()

    def _advance(self, flight: _Flight) -> Trial | None:
        """Take a task's next message; return the trial if it is the last.

        Raises:
            UserError: no process lives long enough to evaluate anything, or no node has these versions.
            Exception: whatever a bug in the evaluator raised.
        """
        exceptions = self._ray.exceptions
        try:
            message = self._ray.get(next(flight.stream))
        except StopIteration:  # its versions were refused
            self._again(flight)
            return None
        except exceptions.OutOfMemoryError:
            reason = "not enough memory on its node, so Ray ended the largest trial there; give trials "
            return flight.proposal.fail(self._on(flight, f"{reason}more CPUs each, so that fewer run"))
        except exceptions.WorkerCrashedError:
            return self._crashed(flight)
        except (exceptions.NodeDiedError, exceptions.ObjectLostError):
            return self._lost(flight)
        except exceptions.LocalRayletDiedError:
            raise UserError("the Ray node of this machine has ended; start it again and resume") from None
        except exceptions.RayTaskError as error:
            raise UserError(f"a node cannot run trials: {_words(error)}") from None
        if isinstance(message, dict):
            self._placed(flight, message)
            return None
        if message == ray_task.READY:
            self._is_ready(flight)
            return None
        if isinstance(message, EvaluationError):
            return flight.proposal.fail(self._on(flight, str(message)))
        if isinstance(message, BaseException):
            raise message
        return self._completed(flight, *message)

    def _completed(self, flight: _Flight, metrics: dict[str, float], checkpoint: bytes | None) -> Trial:
        proposal = flight.proposal
        if checkpoint is not None:
            self._work.keep(proposal, checkpoint)
        try:
            return proposal.complete(self._work.completed(proposal, metrics))
        except EvaluationError as error:
            return proposal.fail(str(error))

    def _placed(self, flight: _Flight, message: dict[str, Any]) -> None:
        """Note where a task runs; refuse a node with other versions."""
        flight.node, flight.started = message["node"], time.time()
        if message["ready"]:
            self._is_ready(flight)
        if message["versions"] != self._versions and flight.node not in self._refused:
            self._refused.add(message["node"])
            has, wants = _listed(message["versions"]), _listed(self._versions)
            others = any(room for node, room in self._room.items() if node not in self._refused)
            text = f"node {self._name(flight)} has {has}, and this machine {wants}"
            if not others:
                raise UserError(f"{text}; no other node has room for trials: install the same versions")
            self._watcher.warn(f"{text}: no trials run there")
        self._tell()

    def _is_ready(self, flight: _Flight) -> None:
        flight.ready, flight.started, self._startup_crashes = True, time.time(), 0

    def _crashed(self, flight: _Flight) -> Trial | None:
        """Return the failed trial of a process that died; ``None``: it had not begun, and begins again.

        Raises:
            UserError: processes die before they can evaluate anything.
        """
        if flight.ready:
            return flight.proposal.fail(self._on(flight, "the worker process died"))
        self._startup_crashes += 1
        if self._startup_crashes >= MAX_STARTUP_CRASHES:
            raise UserError(
                f"worker processes die while they start{self._place(flight)}; is there enough memory? "
                "Give trials more CPUs each, so that fewer run at a time"
            )
        self._again(flight)
        return None

    def _lost(self, flight: _Flight) -> Trial | None:
        """Begin a trial again whose node is gone; return it as failed if that happened too often."""
        flight.losses += 1
        if flight.node is not None:  # Ray may list it for some seconds more
            self._gone.add(flight.node)
        if flight.losses >= _MOST_LOSSES:
            return flight.proposal.fail(f"its nodes were lost {flight.losses} times")
        self._watcher.warn(
            f"node {self._name(flight)} is lost; trial {flight.proposal.number} begins again"
        )
        self._look()
        self._again(flight)
        return None

    def _ended(self, flight: _Flight, trial: Trial) -> Trial:
        self._flights.remove(flight)
        self._tell()
        if flight.node is None:
            return trial
        return trial.ran(Execution(self._name(flight), flight.started, time.time()))

    def _look(self) -> None:
        """Look at the nodes: their names, and how many trials each has room for."""
        self._looked = time.monotonic()
        living = [
            node for node in self._ray.nodes() if node["Alive"] and node["NodeID"] not in self._gone
        ]
        given = Counter(node["NodeName"] for node in living)
        for node in living:
            name, identity = node["NodeName"], node["NodeID"]
            self._names[identity] = name if given[name] == 1 else f"{name}/{identity[:6]}"
        room = {node["NodeID"]: self._trials_on(node["Resources"]) for node in living}
        for joined in room.keys() - self._room.keys():
            if self._room:
                self._watcher.note(
                    f"node {self._names[joined]} has joined: room for {room[joined]} trials"
                )
        self._room = room
        self._tell()

    def _trials_on(self, resources: dict[str, float]) -> int:
        shares = [
            (resources.get("CPU", 0.0), self._cpus),
            (resources.get("GPU", 0.0), self._resources.gpus),
        ]
        return int(min(has / wants + 1e-9 for has, wants in shares if wants))

    def _tell(self) -> None:
        """Tell the watcher what runs where, if that has changed."""
        places: dict[str, list[int]] = {
            self._names[node]: [] for node in self._room if node not in self._refused
        }
        for flight in self._flights:
            if flight.node is not None:
                places.setdefault(self._name(flight), []).append(flight.proposal.number)
        waiting = sum(flight.node is None for flight in self._flights)
        if (places, waiting) != self._said:
            self._said = places, waiting
            self._watcher.running(places, waiting)

    def _name(self, flight: _Flight) -> str:
        return "" if flight.node is None else self._names.get(flight.node, flight.node[:6])

    def _place(self, flight: _Flight) -> str:
        return "" if flight.node is None else f" on {self._name(flight)}"

    def _on(self, flight: _Flight, reason: str) -> str:
        return f"{reason}{self._place(flight)}"


def at_address(address: str) -> type[RayExecutor]:
    """Trials on the Ray cluster at an address, as ``ray:auto`` or ``ray:192.0.2.1:6379``.

    This machine must be one of its nodes.
    """
    content = {"address": address, "__doc__": RayExecutor.__doc__}
    return type(RayExecutor.__name__, (RayExecutor,), content)


class _NoClusterError(UserError):
    """There is no cluster at an address."""


def _join(ray: Any, address: str) -> None:
    """Connect to the cluster at an address.

    Raises:
        UserError: there is none, it refuses this machine, or it has another version of Ray or Python.
    """
    host, colon, port = address.rpartition(":")
    answers = bool(colon) and port.isdigit()
    try:
        if answers:  # Ray itself tries for a minute, and then ends this process
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except OSError as error:
        raise _none_at(address, error) from None
    try:
        with _signals_kept():
            ray.init(address=address, **_QUIET)
    except OSError as error:
        if not answers:
            raise _none_at(address, error) from None
        raise UserError(
            f"the Ray cluster at {address} does not take this machine: if it wants a token, copy the "
            "cluster's ~/.ray/auth_token here and set RAY_AUTH_MODE=token"
        ) from None
    except (RuntimeError, ValueError) as error:  # another version of Ray or Python, a bad address
        raise UserError(f"cannot use the Ray cluster at {address}: {_words(error)}") from None


def _none_at(address: str, error: OSError) -> _NoClusterError:
    return _NoClusterError(
        f"no Ray cluster at {address} ({_words(error)}); start one with ray start --head, and join it "
        "from this machine with ray start --address=..."
    )


def _imported() -> Any:
    """Return Ray, which then neither reports its use nor prints what Minnow says in a line.

    Where this machine has the token of a cluster, it is shown to every cluster.

    Raises:
        UserError: it is not installed.
    """
    token = Path("~/.ray/auth_token").expanduser()  # Ray itself does not look for it at a given address
    if token.exists() and "ray" not in sys.modules:  # which reads its settings when it is imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise UserError("the executor ray needs Ray: pip install 'minnow[ray]'") from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray._private.worker as driver

    if hasattr(driver, "_worker_logs_enabled"):  # there is no public switch for the raylets' messages
        driver._worker_logs_enabled = False
    return ray


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the handlers of signals that Ray replaces by its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _listed(versions: dict[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in versions.items())


def _words(error: BaseException) -> str:
    return one_line(error)[:_REASON]
