"""Signals of networks of several families, and where attention lies."""

from __future__ import annotations

import pytest
import timm
import torch

from nas.networks import build
from training.signals import Signals, attention_of, signals_of

FAMILIES = ["test_efficientnet", "test_resnet", "test_vit", "test_convnext", "mobilenetv3_small_050"]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_timm_has_all_of_them(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=7).eval()
    side = model.default_cfg["input_size"][-1]
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        said = signals_of(model, images, ("pooled", "attention"))
        torch.testing.assert_close(said.logits, model(images), rtol=1e-4, atol=1e-5)
    assert said.get("pooled").shape == (2, model.head_hidden_size)
    assert said.get("attention").shape[2:] == (8, 8) and 1 <= said.get("attention").shape[1] <= 3
    assert (said.get("attention") >= 0).all()


def test_a_network_of_ours_says_the_same_with_and_without_features(tiny) -> None:
    torch.manual_seed(0)
    network, images = build(tiny, 10).eval(), torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        plain = signals_of(network, images, ())
        said = signals_of(network, images, ("pooled", "attention"))
        torch.testing.assert_close(said.logits, plain.logits)
        torch.testing.assert_close(network.head[-1](said.get("pooled")), plain.logits)
    with pytest.raises(ValueError, match="no pooled"):
        plain.get("pooled")


def test_attention_is_where_activations_are_large() -> None:
    early, late = torch.zeros(1, 4, 16, 16), torch.zeros(1, 8, 4, 4)
    early[0, 2, 0, 0], late[0, :, 3, 1] = -2.0, 1.0
    looks = attention_of([early, torch.zeros(1, 8, 4, 4), late])
    assert looks.shape == (1, 2, 8, 8)
    expected = torch.zeros(8, 8)
    expected[0, 0] = 4.0 / 4 / 4  # squared, mean of four channels, mean of a 2 by 2 window
    torch.testing.assert_close(looks[0, 0], expected)
    assert torch.equal(looks[0, 1].nonzero(), torch.tensor([[6, 2], [6, 3], [7, 2], [7, 3]]))


def test_signals_name_what_they_lack() -> None:
    with pytest.raises(ValueError, match="attention"):
        Signals(torch.zeros(1, 2)).get("attention")
