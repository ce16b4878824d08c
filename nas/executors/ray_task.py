"""The task of one trial on a Ray node, and the versions that it needs there.

It is sent by value, and imports nothing of Minnow before the versions were compared: so it runs, and says
what is wrong, on a node with another Minnow or none.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_PACKAGES = ("core", "nas", "training", "teachers", "distill", "deploy", "minnow")
_MISSING = "missing"
READY = "ready"  # the second message of a task: its evaluator is made
_evaluators: dict[str, Any] = {}  # of this process, by key
_known: dict[str, dict[str, str]] = {}  # of this process


def versions() -> dict[str, str]:
    """Return the versions of what must be equal on all nodes; of Minnow with a digest of its source."""
    return {"minnow": _own_version(), "torch": _version("torch")}


def evaluate(
    key: str,
    expected: Mapping[str, str],
    work: Sequence[Any],
    proposal: bytes,
    checkpoint: bytes | None,
) -> Iterator[Any]:
    """Evaluate a trial on this node; yield one to three messages.

    First ``{"node", "versions", "ready"}``, where ``ready`` tells if the process has the evaluator.
    Nothing follows if the versions differ. Then :data:`READY`, if the evaluator had to be made. Last the
    metrics with the checkpoint, or the exception.

    Args:
        key: of the evaluator, which a process makes once.
        expected: see :func:`versions`.
        work: reference to the factory of the evaluator.
        proposal: pickled.
        checkpoint: that it continues.
    """
    import ray

    if "versions" not in _known:
        _known["versions"] = versions()
    found, ready = _known["versions"], key in _evaluators
    yield {"node": ray.get_runtime_context().get_node_id(), "versions": found, "ready": ready}
    if found != expected:
        return
    from nas.executors.worker_processes import portable

    outcome: Any
    try:
        if not ready:
            _evaluators.clear()
            _evaluators[key] = ray.get(work[0])()
            yield READY
        outcome = _evaluators[key](pickle.loads(proposal), checkpoint)
    except Exception as error:  # handed to the driver, which raises it
        outcome = portable(error)
    yield outcome


def _own_version() -> str:
    digest = hashlib.sha256()
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            return _MISSING
        folder = Path(spec.submodule_search_locations[0])
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return f"{_version('minnow')} (source {digest.hexdigest()[:8]})"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return _MISSING
