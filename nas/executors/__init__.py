"""Executors, by name: where trials run."""

from core.plugins import Registry
from nas.executors.base import HERE, DistantEvaluator, Placement, Resources, Watcher, Work
from nas.executors.local import Local, SerialExecutor
from nas.executors.worker_processes import ProcessExecutor
from nas.search import Executor

REGISTRY = Registry(
    kind="executor",
    group="minnow.executors",
    base=Executor,
    builtins={
        "local": "nas.executors.local:Local",
        "ray": "nas.executors.ray_cluster:RayExecutor",
    },
    families={"ray": "nas.executors.ray_cluster:at_address"},
)


def check(name: str) -> None:
    """Check that the executor called ``name`` exists, and that it has something to run on.

    Raises:
        UserError: it does not.
    """
    REGISTRY.load(name).check()


def make(name: str, work: Work, resources: Resources, watcher: Watcher) -> Executor:
    """Make the executor called ``name``.

    Raises:
        UserError: unknown, which lists the known names; it has no machine to run trials on.
    """
    executor: Executor = REGISTRY.load(name)(work, resources, watcher)
    return executor


__all__ = [
    "HERE",
    "REGISTRY",
    "DistantEvaluator",
    "Executor",
    "Local",
    "Placement",
    "ProcessExecutor",
    "Resources",
    "SerialExecutor",
    "Watcher",
    "Work",
    "check",
    "make",
]
