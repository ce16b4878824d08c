"""Every registered tracker, on a real store without a network, read back by the service's own library."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from minnow.trackers import REGISTRY, Tracker

PLACES = {"mlflow": "sqlite:///{}/store.db", "tensorboard": "events", "wandb": "minnow-tests"}
PARAMETERS = {"search.trials": 20, "search.space.name": "elastic", "search.train.clip_grad": 0.5}
#: The last column has a text in one row, and the first a number that is missing in another.
TABLE = (["trial", "f1", "kernel"], [[0, 0.5, 3], [1, None, "none"], [2, 0.25, 5]])


@pytest.fixture(params=REGISTRY.names())
def name(request: pytest.FixtureRequest) -> str:
    try:
        REGISTRY.load(request.param).check()
    except UserError as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture
def begin(name: str, tracked_record: Callable[..., Any], tmp_path: Path) -> Callable[..., Tracker]:
    """Begin or continue a recorded run of the run directory ``runs/photos``."""
    run = tmp_path / "runs/photos"
    run.mkdir(parents=True)

    def make(identifier: str | None = None) -> Tracker:
        tracker: Tracker = REGISTRY.load(name)(PLACES[name].format(tmp_path), run, identifier)
        return tracker

    return make


def test_every_tracker_has_a_place_to_be_tested_at() -> None:
    assert PLACES.keys() == set(REGISTRY.names())


def test_what_is_recorded_is_there(
    name: str, begin: Callable[..., Tracker], tracked_record: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("trials: 20\n", encoding="utf-8")
    tracker = begin()
    tracker.parameters(PARAMETERS)
    for step, f1 in ((3, 0.5), (0, 0.25), (1, 0.75)):  # in any order
        tracker.metrics("trial", {"f1": f1, "params": 1000.0 * step}, step)
    tracker.metrics("teacher/lite0", {"loss": 0.125}, 1)
    tracker.table("pareto_front", *TABLE)
    tracker.file(tmp_path / "config.yaml", "student/config.yaml")
    tracker.close("finished")
    found = tracked_record(name, tracker.identifier)
    assert sorted(found.metrics.pop("trial/f1")) == [(0, 0.25), (1, 0.75), (3, 0.5)]
    assert sorted(found.metrics.pop("trial/params")) == [(0, 0), (1, 1000), (3, 3000)]
    assert dict(found.metrics) == {"teacher/lite0/loss": [(1, 0.125)]}
    assert found.parameters == {key: str(value) for key, value in PARAMETERS.items()}
    assert found.tables == {"pareto_front"} and found.files == {"student/config.yaml"}


def test_a_continued_run_is_the_same_one(
    name: str, begin: Callable[..., Tracker], tracked_record: Callable[..., Any], tmp_path: Path
) -> None:
    """It may have other settings; it records its tables and files again."""
    file = tmp_path / "config.yaml"
    first = begin()
    for turn, tracker in enumerate((first, None)):
        if tracker is None:
            time.sleep(1)  # Weights & Biases names its folders by the second
            tracker = begin(first.identifier)
        file.write_text(f"trials: {20 + turn}\n", encoding="utf-8")
        tracker.parameters({"search.trials": 20 + turn, f"search.turn{turn}": turn})
        tracker.metrics("trial", {"f1": 0.25 * turn}, turn)
        tracker.table("trials", *TABLE)
        tracker.file(file, "config.yaml")
        tracker.close("stopped" if turn == 0 else "finished")
        assert tracker.identifier == first.identifier
    found = tracked_record(name, first.identifier)
    assert sorted(found.metrics["trial/f1"]) == [(0, 0.0), (1, 0.25)]
    assert {"search.turn1", "search.trials"} <= found.parameters.keys()
    assert found.tables == {"trials"} and found.files == {"config.yaml"}


def test_new_runs_of_one_directory_are_different_ones(begin: Callable[..., Tracker]) -> None:
    trackers = [begin(), begin()]
    one, other = (tracker.identifier for tracker in trackers)
    assert one != other
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", text) for text in (one, other))
    for tracker in trackers:
        assert tracker.location
        tracker.close("finished")


@pytest.mark.parametrize("status", ["finished", "failed", "stopped"])
def test_how_a_run_ended(
    name: str, begin: Callable[..., Tracker], tracked_record: Callable[..., Any], status: Any
) -> None:
    expected = {
        "mlflow": {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"},
        "wandb": {"finished": "0", "failed": "1", "stopped": "130"},
    }
    tracker = begin()
    tracker.metrics("trial", {"f1": 0.5}, 0)
    tracker.close(status)
    found = tracked_record(name, tracker.identifier)
    assert found.metrics["trial/f1"] == [(0, 0.5)]
    assert found.status == expected.get(name, {}).get(status, "")


def test_nothing_is_printed(begin: Callable[..., Tracker], capfd: pytest.CaptureFixture[str]) -> None:
    tracker = begin()
    tracker.parameters(PARAMETERS)
    tracker.metrics("trial", {"f1": 0.5}, 0)
    tracker.table("trials", *TABLE)
    tracker.close("finished")
    assert capfd.readouterr() == ("", "")
