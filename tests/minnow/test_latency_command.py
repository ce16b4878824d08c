"""Latency of networks that nobody trained here, by their name."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode


@pytest.mark.parametrize("given", ["mobilenetv3_small_050@32", "mobilenetv3_small_050 --image-size 32"])
def test_a_base_of_the_elastic_space(here, minnow, given):
    said = minnow(f"latency {given} --classes 7")
    assert said.code == 0
    params = sum(
        p.numel() for p in timm.create_model("mobilenetv3_small_050", num_classes=7).parameters()
    )
    assert f"{params / 1e3:.1f} k params" in said.output
    assert "7 classes" in said.output and "32 px" in said.output
    median = re.search(r"([\d.]+) ms median", said.output)[1]
    assert f"{median} ms median" in minnow(f"latency {given} --classes 7").output  # measured once


def test_a_network_of_another_family(here, minnow):
    network = timm.create_model("resnet18", num_classes=10)
    counter = FlopCounterMode(display=False)
    with counter:
        network.eval()(torch.zeros(1, 3, 64, 64))
    said = minnow("latency resnet18@64")
    assert (
        f"{counter.get_total_flops() / 2e6:.1f} M MACs" in said.output and "11.18 M params" in said.output
    )


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("mobilenetv3_smal_050", "perhaps mobilenetv3_small_050"),
        ("runs/none", "no such directory"),
        ("vit_tiny_patch16_224@100", "patches of 16 px"),
        ("resnet18@4", "a side is from"),
        ("tests --classes 3", "says its classes"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(here, minnow, given, complaint):
    (here / "tests").mkdir()
    said = minnow(f"latency {given}")
    assert said.code != 0 and complaint in said.complaint
