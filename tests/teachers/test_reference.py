"""EfficientNet-Lite written a second time, as plain functions on the weights' original keys.

It shares no code with the project or timm. It follows Google's TensorFlow definition: ReLU6, no
squeeze-excite, batch-norm epsilon 1e-3, and "SAME" padding, which puts the odd pixel of a strided
convolution at the bottom and the right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from teachers.base import PretrainedNetwork
from teachers.pypi_weights import remap

# (repeats, kernel, stride, expansion) of EfficientNet-B0, the skeleton of the Lite family.
B0_STAGES = (
    (1, 3, 1, 1),
    (2, 3, 2, 6),
    (2, 5, 2, 6),
    (3, 3, 2, 6),
    (3, 5, 1, 6),
    (4, 5, 2, 6),
    (1, 3, 1, 6),
)
DEPTHS = {0: 1.0, 1: 1.1, 2: 1.2}


class Recorder(Mapping[str, Tensor]):
    """A state dictionary that remembers which entries were read, and how often."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.state, self.reads = state, dict.fromkeys(state, 0)

    def __getitem__(self, key: str) -> Tensor:
        self.reads[key] += 1
        return self.state[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.state)

    def __len__(self) -> int:
        return len(self.state)


def conv_same(x: Tensor, weight: Tensor, stride: int, groups: int = 1) -> Tensor:
    """Convolve with TensorFlow's SAME padding: ``ceil(size / stride)`` outputs."""
    kernel, size = weight.shape[-1], x.shape[-1]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    return F.conv2d(F.pad(x, (before, after, before, after)), weight, stride=stride, groups=groups)


def norm(x: Tensor, state: Mapping[str, Tensor], key: str) -> Tensor:
    """Batch norm in inference, epsilon 1e-3."""
    mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
    scale = state[f"{key}.weight"] / torch.sqrt(var + 1e-3)
    shift = state[f"{key}.bias"] - mean * scale
    return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


def block(x: Tensor, state: Mapping[str, Tensor], key: str, stride: int, expansion: int) -> Tensor:
    """Expand, filter each channel, project; add the input where the shapes allow it."""
    y = x
    if expansion > 1:
        y = F.conv2d(y, state[f"{key}._expand_conv.weight"])
        y = F.relu6(norm(y, state, f"{key}._bn0"))
    y = conv_same(y, state[f"{key}._depthwise_conv.weight"], stride, groups=y.shape[1])
    y = F.relu6(norm(y, state, f"{key}._bn1"))
    y = F.conv2d(y, state[f"{key}._project_conv.weight"])
    y = norm(y, state, f"{key}._bn2")
    return x + y if y.shape == x.shape else y


def lite(x: Tensor, state: Mapping[str, Tensor], repeats: tuple[int, ...]) -> Tensor:
    """Return logits ``(B, classes)`` of normalised images ``(B, 3, R, R)``."""
    x = F.relu6(norm(conv_same(x, state["_conv_stem.weight"], 2), state, "_bn0"))
    index = 0
    for (_, _, stride, expansion), count in zip(B0_STAGES, repeats, strict=True):
        for first in [True] + [False] * (count - 1):
            x = block(x, state, f"_blocks.{index}", stride if first else 1, expansion)
            index += 1
    x = F.relu6(norm(F.conv2d(x, state["_conv_head.weight"]), state, "_bn1"))
    return F.linear(x.mean(dim=(2, 3)), state["_fc.weight"], state["_fc.bias"])


def repeats(version: int) -> tuple[int, ...]:
    """Scale B0's stages in depth; the Lite family keeps the first and the last as they are."""
    counts = [stage[0] for stage in B0_STAGES]
    scaled = [math.ceil(DEPTHS[version] * count) for count in counts]
    return (counts[0], *scaled[1:-1], counts[-1])


@torch.inference_mode()
def test_logits_equal_the_second_implementation(
    version: int, original: dict[str, Tensor], teacher: PretrainedNetwork, photos: Tensor
) -> None:
    state = Recorder(original)
    expected = lite(photos, state, repeats(version))
    counted = {key for key in original if not key.endswith("num_batches_tracked")}
    assert {key: n for key, n in state.reads.items() if n} == dict.fromkeys(counted, 1)
    torch.testing.assert_close(teacher.model(photos), expected, atol=1e-4, rtol=0)
    assert expected.std() > 0.5


@torch.inference_mode()
def test_the_network_without_tf_loads_the_weights_and_is_wrong(
    version: int, original: dict[str, Tensor], teacher: PretrainedNetwork, photos: Tensor
) -> None:
    other = timm.create_model(f"efficientnet_lite{version}", pretrained=False).eval()
    other.load_state_dict(remap(original, [len(stage) for stage in teacher.model.blocks]), strict=True)
    gap = (other(photos) - lite(photos, original, repeats(version))).abs().max()
    assert gap > 0.5
