"""The evaluator that a search takes by default: no supernet where all candidates are of one size."""

from __future__ import annotations

from typing import Any

import pytest

import nas.spaces
from core.config import SearchConfig
from core.config_io import merged
from minnow.evaluator_settings import usual_evaluator

WITHIN = {"space.name": "elastic", "teacher.spec": "lite0", "limits": ["latency_ms<=2"]}


def evaluator(changes: dict[str, Any]) -> str:
    config = merged(SearchConfig, SearchConfig(), changes)
    return usual_evaluator(config, nas.spaces.load(config.space.name))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"limits": ["params<=300k", "macs<=2M", "flash_kb<=900"]},
        {"objectives": ["balanced_accuracy:max"]},
        {"target": "openvino"},
        {"train.epochs": 2},
        {"space.importance": "magnitude"},
    ],
)
def test_networks_of_one_size_need_no_supernet(changes):
    assert evaluator({**WITHIN, **changes}) == "inherit"


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": []},
        {"objectives": ["f1:max", "latency_ms:min"]},
        {"objectives": ["latency_ms:min"], "limits": ["params<=300k"]},
        {"limits": ["latency_ms<=2", "f1>=0.8"]},  # this F1 must be near a student's
        {"limits": ["params>=100k"]},
        {"limits": ["total_seconds<=9"]},
        {"target": "onnxruntime-int8"},
        {"supernet.epochs": 3},
        {"supernet.sizes": "all"},
        {"evaluator": "supernet"},
    ],
)
def test_networks_of_several_sizes_and_quantised_ones_need_one(changes):
    assert evaluator({**WITHIN, **changes}) == "supernet"


def test_elsewhere_trials_are_trained():
    assert evaluator({"limits": ["params<=300k"]}) == "train"
    assert evaluator({**WITHIN, "evaluator": "train"}) == "train"
