"""Latency: measurements, their cache and its keys."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.cached_records import write_cached
from deploy.architecture_latency import measure_architecture, steady
from deploy.device.agent import MIN_RUNS, WARM_UP_RUNS, thread_clock, time_runs
from deploy.latency_measurement import ROUNDS, measure_in_turns, measure_module
from deploy.targets import connect
from deploy.targets.session import MAX_RUNS, Latency
from nas.architecture import Architecture

ROOT = Path(__file__).parents[2]


def test_says_what_was_measured_on_what(network: nn.Module) -> None:
    latency = measure_module(network, 32)
    assert latency.median_ms > 0 and latency.iqr_ms >= 0
    assert MIN_RUNS <= latency.n <= MAX_RUNS
    assert latency.runtime.startswith("onnxruntime ")
    assert latency.runtime.endswith(" CPUExecutionProvider, 1 thread")


def test_dictionary_is_what_metrics_hold() -> None:
    latency = Latency(1.5, 0.25, 50, "onnxruntime 9")
    assert latency.to_dict() == {"median": 1.5, "iqr": 0.25, "n": 50, "runtime": "onnxruntime 9"}


def test_more_work_takes_longer() -> None:
    small = measure_module(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 32)
    big = nn.Sequential(nn.Conv2d(3, 256, 7), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert measure_module(big, 128).median_ms > 10 * small.median_ms


def test_in_turns_each_has_its_own() -> None:
    small = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    big = nn.Sequential(nn.Conv2d(3, 64, 7), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    first, second, third = measure_in_turns([(small, 32), (big, 96), (small, 32)])
    assert second.median_ms > 5 * max(first.median_ms, third.median_ms)
    assert all(MIN_RUNS <= each.n <= ROUNDS * MAX_RUNS for each in (first, second, third))
    assert measure_in_turns([]) == []


def test_every_run_is_timed_by_the_clock_that_was_given() -> None:
    now, runs = 0.0, 0

    def run() -> None:
        nonlocal now, runs
        now, runs = now + runs, runs + 1

    times = time_runs(run, lambda: now, MAX_RUNS, 60.0)
    assert len(times) == MAX_RUNS
    warm_up = runs - MAX_RUNS
    assert warm_up >= WARM_UP_RUNS
    np.testing.assert_array_equal(times, np.arange(warm_up, runs))


def test_a_spent_budget_still_gives_enough_runs() -> None:
    assert len(time_runs(lambda: None, time.perf_counter, MAX_RUNS, 0.0)) == MIN_RUNS


@pytest.mark.parametrize(
    ("spreads", "taken", "kept"),
    [((0.1, 0.0), 1, 0.1), ((0.5, 0.2, 0.1), 2, 0.2), ((0.6, 0.5, 0.9, 0.1), 3, 0.5)],
)
def test_a_bad_moment_is_measured_again(spreads: tuple[float, ...], taken: int, kept: float) -> None:
    left = iter(spreads)
    latency = steady(lambda: Latency(2.0, 2.0 * next(left), 100, "runtime"))
    assert latency.iqr_ms == 2.0 * kept
    assert len(list(left)) == len(spreads) - taken


def test_time_off_the_core_is_not_counted() -> None:
    clock = thread_clock()
    if clock is time.perf_counter:
        pytest.skip("this system's thread clock is too coarse to be used")
    before, wall = clock(), time.perf_counter()
    time.sleep(0.3)
    assert time.perf_counter() - wall >= 0.3
    assert clock() - before < 0.15


def test_second_measurement_comes_from_the_file(tiny: Architecture, tmp_path: Path) -> None:
    first = measure_architecture(tiny, 3, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    assert measure_architecture(tiny, 3, cache=tmp_path) == first
    content = json.loads(file.read_text())
    assert content["architecture"] == tiny.key
    content["latency_ms"]["median"] = 123.0
    del content["checksum"]
    file.write_text(json.dumps(content))
    assert measure_architecture(tiny, 3, cache=tmp_path).median_ms == 123.0


def test_other_networks_classes_threads_and_machines_are_measured_anew(
    tiny: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_architecture(tiny, 3, cache=tmp_path)
    measure_architecture(replace(tiny, resolution=48), 3, cache=tmp_path)
    measure_architecture(tiny, 4, cache=tmp_path)
    two = measure_architecture(tiny, 3, cache=tmp_path, threads=2)
    assert two.runtime.endswith("2 threads")
    monkeypatch.setattr(connect(), "machine", "another machine")
    measure_architecture(tiny, 3, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("content", ["", "{", "[]", '{"latency_ms": {"median": "x"}}'])
def test_damaged_cache_file_is_measured_again(tiny: Architecture, tmp_path: Path, content: str) -> None:
    measure_architecture(tiny, 3, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(content)
    again = measure_architecture(tiny, 3, cache=tmp_path)
    assert json.loads(file.read_text())["latency_ms"] == again.to_dict()


def test_cache_lies_in_the_users_cache_directory(
    tiny: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path))
    measure_architecture(tiny, 3)
    assert len(list((tmp_path / "latency").glob("*.json"))) == 1


def test_measuring_leaves_the_random_numbers_alone(tiny: Architecture, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    measure_architecture(tiny, 3, cache=tmp_path)
    assert torch.equal(torch.rand(3), expected)


MEASURE = """
import sys
from pathlib import Path
from deploy.architecture_latency import measure_architecture
from nas.architecture import Architecture
print(measure_architecture(Architecture.from_yaml(sys.argv[1]), 3, cache=Path(sys.argv[2])))
"""


@pytest.mark.slow
def test_another_process_finds_what_this_one_measured(tiny: Architecture, tmp_path: Path) -> None:
    model, cache = tmp_path / "model.yaml", tmp_path / "cache"
    tiny.to_yaml(model)
    here = measure_architecture(tiny, 3, cache=cache)
    there = subprocess.run(
        [sys.executable, "-c", MEASURE, str(model), str(cache)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert there.stdout.strip() == str(here)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("median", [-5.0, 0.0, float("nan"), float("inf"), 1e12])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_cached_latency_that_cannot_be_true_is_measured_again(
    tiny: Architecture, tmp_path: Path, median: float, sealed: bool
) -> None:
    measure_architecture(tiny, 3, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    content = json.loads(file.read_text())
    content["latency_ms"]["median"] = median
    del content["checksum"]
    if sealed:
        write_cached(file, content)
    else:
        file.write_text(json.dumps(content))
    again = measure_architecture(tiny, 3, cache=tmp_path)
    assert 0 < again.median_ms < 1e6
    assert json.loads(file.read_text())["latency_ms"] == again.to_dict()


def test_a_latency_of_another_network_under_this_name_is_measured_again(
    tiny: Architecture, tmp_path: Path
) -> None:
    measure_architecture(tiny, 3, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    content = json.loads(file.read_text())
    content["latency_ms"]["median"], content["num_classes"] = 123.0, 4
    del content["checksum"]
    write_cached(file, content)
    assert measure_architecture(tiny, 3, cache=tmp_path).median_ms != 123.0
