"""Teachers on disk: a run directory, or a weights file of a timm network."""

from __future__ import annotations

import os
import pickle
import struct
import warnings
from argparse import Namespace
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from safetensors import SafetensorError

from core.cache import expanded
from core.errors import UserError
from teachers.base import PretrainedNetwork, TeacherSource, weights_digest
from training.bundle_files import STUDENT_FOLDER, WEIGHTS_FILE

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pth", ".pt", ".safetensors", ".tar", ".ckpt", ".bin")  # usual ones; any file will do
_WRAPPERS = (  # keys of a checkpoint, the averaged weights first
    "state_dict_ema", "model_ema", "ema_state_dict",
    "state_dict", "model_state_dict", "model", "net", "network",
)  # fmt: skip
_MODULE_PREFIXES = ("model.", "net.", "network.", "backbone.", "encoder.", "student.", "visual.trunk.")

# Errors of torch's restricted unpickler and of the safetensors reader on bytes that are no weights.
_WEIGHTS_ERRORS = (
    pickle.UnpicklingError,
    SafetensorError,
    struct.error,
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    AssertionError,
)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read a state dictionary, without executing anything in the file.

    The content decides on the format, not the ending. The dictionary is the whole file, or lies under a
    usual key of training scripts (``state_dict``, ``model`` ...; an averaged one wins). What parallel
    training and compilation put before the names is taken off.

    Raises:
        UserError: the file is missing, damaged, or holds anything else than named tensors.
    """
    import torch
    from timm.models import clean_state_dict

    path = Path(path)
    if not os.path.isfile(path):
        what = "is a directory, no weights file" if os.path.isdir(path) else "no such weights file"
        raise UserError(f"{path}: {what}; check the path")
    try:
        state: dict[str, Tensor] = clean_state_dict(_unwrapped(_stored(path)))
    except _WEIGHTS_ERRORS as error:
        raise UserError(
            f"{path} cannot be read as weights ({type(error).__name__}): it is damaged or not a "
            "plain state dictionary; save one with torch.save(model.state_dict(), path)"
        ) from error
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise UserError(
                f"{path} is not a state dictionary: {key!r} holds a {type(value).__name__}, not a "
                "tensor; save one with torch.save(model.state_dict(), path)"
            )
    return state


def _stored(path: Path) -> Any:
    """Return the content of a file of safetensors, or of torch with tensors and plain data alone."""
    import torch
    from safetensors.torch import load_file

    with path.open("rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"  # the header follows its length; torch begins otherwise
        file.seek(0)
        if not is_safetensors:
            with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a rare version of pickle, which loads or fails anyway
                return torch.load(file, map_location="cpu", weights_only=True)
    return load_file(path)


def _unwrapped(content: Any) -> dict[str, Any]:
    """Return the state dictionary inside a checkpoint.

    Raises:
        TypeError: there is none.
    """
    if not isinstance(content, dict):
        raise TypeError(f"holds a {type(content).__name__}")
    for key in _WRAPPERS:
        if isinstance(content.get(key), dict):
            return _unwrapped(content[key])
    return content


def inside_module(state: Mapping[str, Tensor], keys: Collection[str]) -> dict[str, Tensor]:
    """Return the state of a network that is a part of the saved module, as in Lightning's checkpoints.

    Other parts, such as the weights of a loss, are left out. A state without such a part stays.

    Args:
        state: of the saved module.
        keys: of the network's own state.
    """
    from timm.models import clean_state_dict

    for prefix in _MODULE_PREFIXES:
        inside = clean_state_dict(
            {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        )
        if not any(key.startswith(prefix) for key in keys) and not inside.keys().isdisjoint(keys):
            return inside
    return dict(state)


def split_spec(spec: str) -> tuple[str, Path] | None:
    """Split ``TIMM_NAME:FILE``; return ``None`` if it is neither a file nor meant as one."""
    from teachers.timm_models import is_timm_name

    name, colon, rest = spec.partition(":")
    path = expanded(rest)
    if not colon or not rest:
        return None
    return (name, path) if os.path.isfile(path) or rest.endswith(SUFFIXES) or is_timm_name(name) else None


def load_weights_file(name: str, path: Path) -> PretrainedNetwork:
    """Load a weights file into a timm network with as many classes as the file has.

    Raises:
        UserError: timm does not know the name; the file is broken or belongs to another network.
    """
    import timm

    from teachers.timm_models import (
        close_matches,
        head_weight_key,
        is_timm_name,
        load_strictly,
        pretrained_from_timm,
    )
    from training.finite import check_finite

    if not is_timm_name(name):
        near = ", ".join(close_matches(name)) or "none; see timm.list_models()"
        raise UserError(f"{name!r} in '{name}:{path}' is no timm network; close names: {near}")
    model = timm.create_model(name, pretrained=False)
    state = inside_module(read_state(path), model.state_dict().keys())
    check_finite(state, path)
    head = state.get(head_weight_key(model) or "")
    if head is not None and head.ndim > 0:
        model = timm.create_model(name, pretrained=False, num_classes=head.shape[0])
    load_strictly(model, state, where=path)
    return pretrained_from_timm(name, model, f"weights file {path}")


def load_run(path: Path) -> PretrainedNetwork:
    """Load a network that Minnow trained, from its bundle or its run directory.

    Raises:
        UserError: there is no such network; its files are damaged or do not belong together.
    """
    from training.bundle import load_bundle

    bundle = load_bundle(path)
    test_digest = bundle.metrics.get("test_files")
    return PretrainedNetwork(
        name=path.resolve().name,
        model=bundle.model.eval(),
        resolution=bundle.architecture.resolution,
        normalization=bundle.normalization,
        digest=weights_digest(bundle.architecture.key, bundle.model),
        classes=bundle.classes,
        source=f"trained network in {path}",
        test_digest=test_digest if isinstance(test_digest, str) else None,
    )


class PathSource(TeacherSource):
    """A run directory or bundle that Minnow made, or TIMM_NAME:FILE (weights of torch or safetensors)."""

    name: ClassVar[str] = "path"

    def find(self, spec: str) -> PretrainedNetwork | None:
        """Load a directory (``runs/demo``) or a weights file (``resnet18:weights.pth``).

        Raises:
            UserError: the path is missing; its content is broken or of another kind.
        """
        if (parts := split_spec(spec)) is not None:
            return load_weights_file(*parts)
        path = expanded(spec)
        if spec.endswith(SUFFIXES) or (_written_as_path(spec) and os.path.isfile(path)):
            raise UserError(
                f"teacher '{spec}': a weights file needs the timm network it belongs to; "
                f"write TIMM_NAME:{spec}, for example resnet18:{spec}"
            )
        if os.path.isdir(path) and (_written_as_path(spec) or _holds_network(path)):
            return load_run(path)
        if spec.startswith(("~", ".", os.sep)):
            raise UserError(f"teacher '{spec}': no such directory; check the path")
        return None


def _written_as_path(spec: str) -> bool:
    """Return whether a spec is a path, not a name that a folder here happens to have."""
    return os.sep in spec or "/" in spec or spec.startswith((".", "~"))


def _holds_network(path: Path) -> bool:
    return any((path / folder / WEIGHTS_FILE).exists() for folder in ("", STUDENT_FOLDER))
