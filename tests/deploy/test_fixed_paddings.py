"""timm's networks with paddings fixed for one size of input."""

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import nn

from deploy.fixed_paddings import fix_paddings
from deploy.targets import DEFAULT, connect
from deploy.targets.conversion import convert
from training.preprocess import Normalization


@pytest.mark.parametrize("side", [32, 36])  # paddings of the two differ
@pytest.mark.parametrize("channels", [1, 3])
def test_they_change_no_output(side, channels):
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=5, in_chans=channels).eval()
    fixed = fix_paddings(model, side, input_channels=channels)
    images = torch.randn(2, channels, side, side)
    with torch.no_grad():
        assert torch.allclose(fixed(images), model(images), atol=1e-6)
        assert model(images).std() > 1e-3
    assert not any(isinstance(layer, Conv2dSame) for layer in fixed.modules())


def test_a_dilated_convolution():
    torch.manual_seed(0)
    model = nn.Sequential(Conv2dSame(3, 4, 3, stride=2, dilation=2), Conv2dSame(4, 4, 3, groups=4))
    images = torch.randn(2, 3, 20, 20)
    assert torch.allclose(fix_paddings(model, 20)(images), model(images), atol=1e-6)


def test_a_network_that_computes_none_is_not_copied():
    model = nn.Conv2d(3, 4, 3)
    assert fix_paddings(model, 32) is model


def test_onnx_runtime_pads_within_its_convolutions(as_loaded):
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=5).eval()
    half = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    converted = convert(connect(DEFAULT).target, model, 64, normalization=half)
    (content,) = converted.files.values()
    operations = {node.op_type for node in as_loaded(content).graph.node}
    assert "Pad" not in operations
    images = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    (logits,) = onnxruntime.InferenceSession(content).run(None, {"images": images})
    with torch.no_grad():
        assert np.allclose(logits, model((torch.from_numpy(images) - 0.5) / 0.5), atol=1e-4)
