"""Profiles: predictions for a device whose time is known, and files that anyone may have written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deploy.targets
from core.errors import UserError
from deploy import architecture_latency
from deploy.architecture_latency import fitted_latency, latency_bound, measure_architecture
from deploy.device.link import ModelError
from deploy.network_choice import spread_networks
from deploy.profile_file import (
    MeasuredNetwork,
    ProfileRecord,
    left_out,
    read_profile,
    write_profile,
)
from deploy.targets.session import Latency
from nas.architecture import Architecture
from nas.cost import cost
from nas.operations import CONVOLUTION
from nas.spaces.elastic import Elastic
from nas.spaces.toy import Toy

CLASSES = 6
Write = Callable[..., Path]


def device(network: Architecture, classes: int = CLASSES) -> float:
    """Return the time of a network where depthwise convolutions are slow, ms."""
    time = 0.02
    for operation in network.operations(classes):
        speed = 4e6 if operation.kind == CONVOLUTION and operation.groups > 1 else 3e7
        time += 0.003 + operation.macs / speed + operation.traffic / 2e7
    return time


@pytest.fixture(scope="module")
def networks() -> list[Architecture]:
    return list(islice(spread_networks(Elastic((48, 64)), CLASSES, 0), 24))


@pytest.fixture(scope="module")
def record(networks: list[Architecture]) -> ProfileRecord:
    times = np.array([device(network) for network in networks])
    times *= np.exp(0.03 * np.random.default_rng(0).normal(size=len(times)))
    measured = tuple(
        MeasuredNetwork(
            milliseconds=time,
            iqr=0.1 * time,
            n=100,
            left_out_ms=predicted,
            network=network.to_content(num_classes=CLASSES),
        )
        for network, time, predicted in zip(
            networks, times, left_out(networks, times, CLASSES), strict=True
        )
    )
    return ProfileRecord(
        target="onnxruntime-int8",
        runtime="onnxruntime 9, int8, 1 thread",
        machine="a board",
        num_classes=CLASSES,
        space="elastic",
        base="tf_efficientnet_lite0",
        resolutions=(48, 64),
        seed=0,
        measured=measured,
    )


@pytest.fixture
def path(tmp_path: Path, record: ProfileRecord) -> Path:
    write_profile(tmp_path / "board.json", record)
    return tmp_path / "board.json"


@pytest.fixture
def changed(path: Path) -> Write:
    """Change the stored content: ``changed(seed=-1)``, ``changed(lambda content: ...)``."""

    def write(change: Callable[[dict[str, Any]], object] | None = None, **entries: Any) -> Path:
        content = json.loads(path.read_text()) | entries
        if change is not None:
            change(content)
        path.write_text(json.dumps(content))
        return path

    return write


def test_other_networks_of_the_device_are_predicted(path: Path) -> None:
    rng, space = np.random.default_rng(5), Elastic((48, 64))
    others = [space.random_subnet(rng) for _ in range(60)]
    truth = np.array([device(network) for network in others])
    latencies = [measure_architecture(network, CLASSES, target=str(path)) for network in others]
    errors = np.abs(np.array([one.median_ms for one in latencies]) / truth - 1)
    assert np.median(errors) < 0.05 and (errors < 0.1).mean() >= 0.9
    upper = np.array([one.upper_ms for one in latencies])
    assert (truth <= upper).mean() >= 0.85  # of 90 %, by the noise of 24 measurements


def test_a_prediction_says_that_it_is_one(path: Path, networks: list[Architecture]) -> None:
    latency = measure_architecture(networks[0], CLASSES, target=str(path))
    assert latency.predicted and latency.n == 0 and latency.iqr_ms > 0
    text = f"predicted from {path} (24 networks): onnxruntime 9, int8, 1 thread on a board"
    assert latency.runtime == text == latency.to_dict()["runtime"]
    profile = read_profile(path)
    assert latency.upper_ms == pytest.approx(latency.median_ms * (1 + profile.margin))
    bound = latency_bound(networks, CLASSES, target=str(path))
    assert bound(networks[0]) == latency.upper_ms


def test_other_numbers_of_classes_cost_what_their_classifier_does(
    path: Path, networks: list[Architecture]
) -> None:
    for network in networks[:8]:
        two, many = (measure_architecture(network, n, target=str(path)) for n in (2, 3 * CLASSES))
        assert two.median_ms < many.median_ms
        assert many.median_ms == pytest.approx(device(network, 3 * CLASSES), rel=0.15)


def test_errors_are_those_of_networks_left_out(path: Path, record: ProfileRecord) -> None:
    errors = read_profile(path).errors
    assert errors.rank_correlation > 0.95
    assert errors.within_10_percent > 0.7
    assert 0 < errors.median_error <= errors.quantile_95 < 0.3
    ratios = [one.milliseconds / (one.left_out_ms or 0) for one in record.measured]
    assert 0 <= errors.margin <= max(ratios) - 1
    below = np.mean([ratio <= 1 + errors.margin for ratio in ratios])
    assert below >= 0.9


def test_the_margin_of_few_networks_is_the_largest_excess(record: ProfileRecord) -> None:
    few = record.model_copy(update={"measured": record.measured[:5]})
    excesses = [one.milliseconds / (one.left_out_ms or 0) - 1 for one in few.measured]
    assert few.leave_one_out is not None
    assert few.leave_one_out.margin == pytest.approx(max(0.0, *excesses))


def test_summaries_in_the_file_are_for_readers_and_not_believed(changed: Write) -> None:
    path = changed()
    assert json.loads(path.read_text())["leave_one_out"]["margin"] > 0
    before = read_profile(path).margin
    path = changed(leave_one_out={"margin": -0.9})
    assert read_profile(path).margin == before


def test_costs_are_those_of_its_target(path: Path, networks: list[Architecture]) -> None:
    costs = deploy.targets.costs_on(str(path), networks[0], CLASSES)
    assert costs == deploy.targets.costs_on("onnxruntime-int8", networks[0], CLASSES)
    assert type(deploy.targets.runtime_target(str(path))).__name__ == "OnnxRuntimeInt8"
    deploy.targets.check_ready(str(path))


def test_nothing_runs_on_a_profile(path: Path) -> None:
    for call in (deploy.targets.parse, deploy.targets.connect):
        with pytest.raises(UserError, match="is a profile, and nothing runs on it"):
            call(str(path))


def test_a_changed_file_is_read_again(path: Path, changed: Write) -> None:
    assert read_profile(path) is read_profile(path)
    first = read_profile(path)
    changed(machine="another board")
    assert read_profile(path) is not first
    assert read_profile(path).record.machine == "another board"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(version=2), "version"),
        (lambda c: c.update(target="./evil.py:Target"), "target"),
        (lambda c: c.update(target="evil:Target"), "target"),
        (lambda c: c.update(target="onnxruntime@ssh:host"), "target"),
        (lambda c: c.update(target="tensorrt"), "unknown target"),
        (lambda c: c.update(num_classes=0), "num_classes"),
        (lambda c: c.update(resolutions=[]), "resolutions"),
        (lambda c: c.update(measured=3), "measured"),
        (lambda c: c.pop("machine"), "machine"),
        (lambda c: c["measured"][3].update(milliseconds=float("nan")), "measured.3.milliseconds"),
        (lambda c: c["measured"][3].update(milliseconds=float("inf")), "measured.3.milliseconds"),
        (lambda c: c["measured"][3].update(milliseconds=-1.0), "measured.3.milliseconds"),
        (lambda c: c["measured"][3].update(milliseconds="fast"), "measured.3.milliseconds"),
        (lambda c: c["measured"][3].update(left_out_ms=0.0), "measured.3.left_out_ms"),
        (lambda c: c["measured"][3].update(left_out_ms=None), "not finished"),
        (lambda c: c["measured"][3].update(n=0), "measured.3.n"),
        (lambda c: c["measured"][3].update(network=[]), "measured.3.network"),
        (lambda c: c["measured"][3].update(network={}), "network 4 of 'measured'"),
        (lambda c: c["measured"][3]["network"].update(resolution=10**9), "network 4 of 'measured'"),
        (lambda c: c["measured"][3]["network"]["backbone"].insert(0, ["x"]), "network 4 of"),
        (lambda c: c.update(measured=c["measured"][:2]), "2 networks are measured"),
        (lambda c: c.update(measured=c["measured"] * 50), "measured"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(
    changed: Write, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = changed(change)
    with pytest.raises(UserError) as raised:
        deploy.targets.check_ready(str(path))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert path.name in str(raised.value) or "unknown target" in str(raised.value)
    assert "evil" not in sys.modules


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"board\.json"):
        read_profile(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "deep.json").write_text("[" * 10_000)
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(1 << 33)
    for name in ("missing", "folder", "pipe", "deep", "huge"):
        with pytest.raises(UserError, match=rf"{name}\.json"):
            read_profile(tmp_path / f"{name}.json")


def test_networks_are_spread_over_the_sizes() -> None:
    space = Elastic((48, 64))
    chosen = list(islice(spread_networks(space, CLASSES, 0), 20))
    assert chosen == list(islice(spread_networks(space, CLASSES, 0), 30))[:20]
    assert chosen != list(islice(spread_networks(space, CLASSES, 1), 20))
    rng = np.random.default_rng(0)
    drawn = [space.random_subnet(rng) for _ in range(500)]
    for size in (lambda n: cost(n, CLASSES).macs, lambda n: cost(n, CLASSES).params):
        low, high = np.quantile([size(network) for network in drawn], [0.1, 0.9])
        assert min(map(size, chosen)) < low and max(map(size, chosen)) > high
    assert {network.resolution for network in chosen} == {48, 64}


def test_a_small_space_is_yielded_whole_and_once() -> None:
    chosen = list(spread_networks(Toy(), CLASSES, 0))
    assert len(chosen) == len({network.key for network in chosen}) == 12


def test_networks_that_the_target_cannot_run_are_left_out(
    networks: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(network: Architecture, *_: object, **__: object) -> Latency:
        if network is networks[0]:
            raise ModelError("no kernel")
        return Latency(1.0 + len(network.layers), 0.0, 1, "a runtime")

    monkeypatch.setattr(architecture_latency, "measure_architecture", measure)
    counted: list[int] = []
    fitted_latency(networks, CLASSES, lambda done, total: counted.append(done))
    assert counted == [*range(1, len(networks) + 1)]
    with pytest.raises(UserError, match="onnxruntime runs none of 1 networks: no kernel"):
        fitted_latency(networks[:1], CLASSES)
