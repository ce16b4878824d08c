"""Bundle: a trained model on disk, as six files in one directory, and any others.

``model.safetensors`` (weights), ``architecture.yaml`` (the model file), ``labels.txt`` (one class
per line, in the order of the logits), ``config.yaml`` (how it was made; ``normalization:
{mean, std}`` is read back), ``metrics.json``, and ``checksums.sha256`` of all but the metrics.

A directory is a bundle while it holds the weights: saving flushes all files elsewhere, removes the old
weights, moves the other files in, and the weights last (:func:`core.files.staged_files`). So a killed
save leaves the old bundle, the new one, or a directory that :func:`load_bundle` refuses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import UserError, one_line, short
from core.files import staged_files, write_bytes, write_json, write_text
from core.reading import RECORD, mapping, read_bytes, read_json, read_text, read_yaml
from nas.architecture import Architecture
from training.bundle_files import (
    ARCHITECTURE_FILE,
    BUNDLE_FILES,
    CHECKSUMS_FILE,
    CONFIG_FILE,
    LABELS_FILE,
    METRICS_FILE,
    WEIGHTS_FILE,
    find_bundle,
)
from training.checksums import check_unchanged, checksums
from training.finite import check_finite
from training.preprocess import Normalization

_REMEDY = "train the model again"
_LABELS_LIMIT, _WEIGHTS_LIMIT = 10_000_000, 10_000_000_000  # bytes


@dataclass(frozen=True)
class Bundle:
    """A trained model read back.

    Attributes:
        path: the directory the files lie in.
        architecture: the network; its ``resolution`` is the side of the input in pixels.
        classes: names in the order of the logits.
        normalization: what the input is normalised with.
        model: in eval mode on the CPU, ``channels_last``.
        config: content of ``config.yaml``.
        metrics: content of ``metrics.json``.
    """

    path: Path
    architecture: Architecture
    classes: tuple[str, ...]
    normalization: Normalization
    model: nn.Module
    config: dict[str, Any]
    metrics: dict[str, Any]


def save_bundle(
    path: str | Path,
    model: nn.Module,
    architecture: Architecture,
    classes: Sequence[str],
    *,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    others: Mapping[str, bytes] | None = None,
) -> None:
    """Write a bundle, replacing one that is there; other files in the directory stay.

    Args:
        path: directory; made if missing.
        model: the network that ``nas.networks.build(architecture, len(classes))`` makes, trained.
        architecture: what ``model`` was built from.
        classes: names in the order of the logits.
        config: plain data for ``config.yaml``; ``normalization: {mean, std}`` must be in it.
        metrics: plain data for ``metrics.json``.
        others: content of further files that belong to these weights, by name.

    Raises:
        UserError: a class name that a line of text cannot hold; a full or read-only disk.
        ValueError: ``config`` has no usable ``normalization``, or ``model`` is another network than
            ``architecture`` with ``len(classes)`` classes.
    """
    import yaml
    from safetensors.torch import save

    path = Path(path)
    for name in classes:
        if not name.strip() or "\n" in name or "\r" in name:
            raise UserError(f"class name {short(name)} is not one line of text; rename the class folder")
    read_normalization(config)
    weights = {key: value.detach().to("cpu").contiguous() for key, value in model.state_dict().items()}
    misfit = _misfit(weights, _untrained(architecture, len(classes)).state_dict())
    if misfit:
        raise ValueError(f"the model is not the one the architecture describes: {misfit}")

    with staged_files(path, last=WEIGHTS_FILE) as folder:
        architecture.to_yaml(folder / ARCHITECTURE_FILE, num_classes=len(classes))
        write_text(folder / LABELS_FILE, "".join(f"{name}\n" for name in classes))
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        write_text(folder / CONFIG_FILE, text)
        write_json(folder / METRICS_FILE, dict(metrics))
        for name, content in (others or {}).items():
            write_bytes(folder / name, content)
        write_bytes(folder / WEIGHTS_FILE, save(weights))
        names = sorted({*BUNDLE_FILES, *(others or {})} - {METRICS_FILE})
        write_text(folder / CHECKSUMS_FILE, checksums(folder, names))


def load_bundle(path: str | Path) -> Bundle:
    """Read a trained model.

    Args:
        path: the bundle's directory, or a run directory whose ``student/`` is one.

    Raises:
        UserError: one line that names the file that is missing, corrupt or does not fit the others.
    """
    path = find_bundle(path)
    architecture = Architecture.from_yaml(path / ARCHITECTURE_FILE)
    classes = read_labels(path / LABELS_FILE)
    config = read_yaml(path / CONFIG_FILE, "", remedy=_REMEDY)
    config = dict(mapping(config, str(path / CONFIG_FILE), "a mapping of settings"))
    metrics = read_json(path / METRICS_FILE, "", remedy=_REMEDY)
    metrics = dict(mapping(metrics, str(path / METRICS_FILE), "a mapping of scores"))
    try:
        normalization = read_normalization(config)
    except ValueError as error:
        raise UserError(f"{path / CONFIG_FILE}: {error}") from None
    model = _untrained(architecture, len(classes))
    _load_weights(model, path / WEIGHTS_FILE, len(classes))
    for name in (
        ARCHITECTURE_FILE,
        LABELS_FILE,
        CONFIG_FILE,
        WEIGHTS_FILE,
    ):  # last: other messages say more
        check_unchanged(path / name, limit=_WEIGHTS_LIMIT if name == WEIGHTS_FILE else RECORD)
    check_finite(model.state_dict(), path / WEIGHTS_FILE)
    model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Bundle(path, architecture, classes, normalization, model, config, metrics)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names, one per line, in the order of the logits.

    Raises:
        UserError: unreadable, fewer than two, or one twice; names the file.
    """
    text = read_text(path, "", limit=_LABELS_LIMIT)
    classes = tuple(line for line in text.split("\n") if line.strip())
    if len(classes) < 2:
        raise UserError(f"{path}: holds {len(classes)} classes; expected one per line, at least two")
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise UserError(f"{path}: class {short(twice[0])} is there twice; give each class its own name")
    return classes


def read_normalization(config: Mapping[str, Any]) -> Normalization:
    """Return the normalization in ``config["normalization"]``.

    Raises:
        ValueError: missing or malformed; says what was expected.
    """
    expected = "'normalization' must be {mean: [3 finite numbers], std: [3 above 0]}"
    content = config.get("normalization")
    if not isinstance(content, Mapping) or set(content) != {"mean", "std"}:
        raise ValueError(f"{expected}, got {short(content)}")
    sides = []
    for name in ("mean", "std"):
        values = content[name]
        if (
            not isinstance(values, list | tuple)
            or len(values) != 3
            or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values)
            or not all(map(math.isfinite, values))
        ):
            raise ValueError(f"{expected}, got {name}: {short(values)}")
        sides.append((float(values[0]), float(values[1]), float(values[2])))
    if min(sides[1]) <= 0:
        raise ValueError(f"{expected}, got std: {sides[1]}")
    return Normalization(mean=sides[0], std=sides[1])


def _untrained(architecture: Architecture, num_classes: int) -> nn.Module:
    from nas.networks import build

    with torch.random.fork_rng(devices=[]):  # reading a model must not shift anyone's random numbers
        return build(architecture, num_classes)


def _load_weights(model: nn.Module, path: Path, num_classes: int) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = read_bytes(path, "", limit=_WEIGHTS_LIMIT)
    try:
        weights = load(content)
    except SafetensorError as error:
        reason = one_line(error)
        raise UserError(f"{path}: corrupt or cut short ({reason}); train the model again") from None
    expected = model.state_dict()
    misfit = _misfit(weights, expected)
    if misfit:
        head = list(expected)[-1]  # the classifier's bias: one number per class
        there = weights.get(head)
        if there is not None and there.shape != expected[head].shape and there.dim() == 1:
            raise UserError(
                f"{path.parent / LABELS_FILE} names {num_classes} classes, but {path} tells "
                f"{len(there)} apart; restore the {LABELS_FILE} it was trained with"
            )
        raise UserError(
            f"{path} does not fit {path.parent / ARCHITECTURE_FILE}: {misfit}; "
            "restore the two files of one training run or train again"
        )
    model.load_state_dict(weights)


def _misfit(weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str | None:
    """Return the first difference between ``weights`` and those of a network, or ``None``."""
    for name, tensor in expected.items():
        if name not in weights:
            return f"no weights for {name}"
        if weights[name].shape != tensor.shape:
            return f"{name} is {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
    extra = [name for name in weights if name not in expected]
    return f"{extra[0]} is not part of the network" if extra else None
