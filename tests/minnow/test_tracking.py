"""Tracked runs: what is recorded, resuming, services that fail, and what files may not decide."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import minnow
from core.config import SearchConfig, StudentConfig
from core.config_io import SettingError
from core.errors import UserError
from minnow.listener import Listener, SearchPlan
from minnow.settings import search_settings
from minnow.trackers import parse
from minnow.tracking import STATE, Tracking, series_of, tracked
from nas.objectives import Objectives
from nas.spaces.toy import Toy
from nas.trial import Proposal, Trial
from training.fit import Progress

pytest.importorskip("tensorboard")
EVENTS = "tensorboard:events"
#: A search of a second per trial, and a training of one.
SMALL: dict[str, Any] = {"data": {"spec": "digits", "labels_per_class": 4}, "epochs": 1, "seed": 1}


@pytest.fixture
def run(tmp_path: Path, tracked_record: Any) -> Path:
    """An empty run directory in the working directory."""
    (tmp_path / "photos").mkdir()
    return Path("photos")


@pytest.fixture
def recorded(tracked_record: Callable[..., Any]) -> Callable[..., Any]:
    """Read what a tracker recorded of a run directory."""

    def read(run: Path | str, spec: str = EVENTS) -> Any:
        state = json.loads(Path(run, STATE).read_text())["runs"]
        return tracked_record(spec.partition(":")[0], state[spec]["identifier"])

    return read


@pytest.fixture
def silent_server() -> Iterator[str]:
    """URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def trial(number: int, f1: float | None) -> Trial:
    choices = (number % 2, 0, number // 2, 0)  # another network each
    proposal = Proposal(number, choices, Toy().decode(choices), seed=number)
    return proposal.fail("diverged") if f1 is None else proposal.complete({"f1": f1, "params": 1000.0})


def plan(*known: Trial) -> SearchPlan:
    return SearchPlan(Objectives.parse(["f1"], []), known, 10, lambda proposal: 1, None)


def test_trials_in_any_order_and_failed_ones(run: Path, recorded: Any, keeping: Any) -> None:
    with tracked([EVENTS], keeping) as listener:
        listener.started("search", run, SearchConfig(trials=7))
        listener.search_started(plan())
        for number, f1 in ((2, 0.5), (0, None), (3, 0.25), (1, 0.75)):
            listener.trial_finished(trial(number, f1))
    found = recorded(run)
    assert sorted(found.metrics["trial/f1"]) == [(1, 0.75), (2, 0.5), (3, 0.25)]
    assert sorted(found.metrics["trial/failed"]) == [(0, 1), (1, 0), (2, 0), (3, 0)]
    assert found.metrics["best/f1"] == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.75)]
    assert (
        found.parameters["search.trials"] == "7" and found.parameters["search.space.name"] == "mobilenet"
    )
    assert not any(value in ("", "None") for value in found.parameters.values())
    assert keeping.notes == ["recorded by tensorboard:events: events/photos"] and keeping.warnings == []


@pytest.mark.parametrize("name", ["my photos", "Fotos-ü", "-", "x" * 200])
def test_a_run_of_any_name_is_recorded(run: Path, keeping: Any, name: str) -> None:
    renamed = run.rename(run.with_name(name))
    for _ in range(2):
        with tracked([EVENTS], keeping) as listener:
            listener.started("search", renamed, SearchConfig())
    assert keeping.warnings == [] and len([*Path("events").iterdir()]) == 1


def test_a_resumed_run_records_what_is_missing(run: Path, recorded: Any) -> None:
    """A trial that ended without a tracker, too; none twice."""
    trials = [trial(number, number / 4) for number in range(4)]
    for known, new in ((trials[:0], trials[0]), (trials[:2], trials[2]), (trials[:3], trials[3])):
        with tracked([EVENTS], Listener()) as listener:
            listener.started("search", run, SearchConfig())
            listener.search_started(plan(*known))
            listener.trial_finished(new)
    assert [*Path("events").iterdir()] == [Path("events/photos")]
    assert sorted(recorded(run).metrics["trial/f1"]) == [(0, 0), (1, 0.25), (2, 0.5), (3, 0.75)]


def test_epochs_of_every_training_but_those_of_trials(run: Path, recorded: Any) -> None:
    record = {"epoch": 1, "loss": 2.0, "val_f1": 0.5, "learning_rate": 0.25, "seconds": 1.0}
    with tracked([EVENTS], Listener()) as listener:
        listener.started("student", run, StudentConfig())
        for work, kept in (
            ("teacher a@b", 0.5),
            ("student seed 1 (2 of 3)", 0.5),
            ("supernet", None),
            ("trial", 0.5),
        ):
            listener.training(work, Progress(0, 3, 1, 2, 9.0, kept))  # a step
            listener.training(work, Progress(1, 3, 0, 2, 9.0, kept, record))
    found = recorded(run).metrics
    assert found["teacher/a-b/loss"] == found["student/seed-1/loss"] == found["supernet/loss"] == [(1, 2)]
    assert found["teacher/a-b/val_f1"] == [(1, 0.5)] and found["teacher/a-b/learning_rate"] == [(1, 0.25)]
    assert "supernet/val_f1" not in found, "nothing was held out"
    assert not any(name.startswith("trial/") for name in found)


@pytest.mark.parametrize(
    ("work", "series"),
    [
        ("student", "student"),
        ("teacher x:/home/w.pth", "teacher/x-home-w.pth"),
        ("s " + "x" * 200, "s/" + "x" * 98),
    ],
)
def test_series_have_names_that_every_service_takes(work: str, series: str) -> None:
    assert series_of(work) == series


def test_a_search_and_a_student_are_one_recorded_run(own_cache: Path, run: Path, recorded: Any) -> None:
    specs = [EVENTS]
    for name, spec in (("mlflow", f"mlflow:sqlite:///{Path.cwd()}/store.db"), ("wandb", "wandb:tests")):
        try:
            parse(spec)
        except UserError as error:
            print(f"without {name}: {error}")
        else:
            specs.append(spec)
    options = {"out": run, "space": "toy", "trackers": specs, "objectives": ["f1", "macs"], **SMALL}
    found = minnow.search(**options, trials=2)
    again = minnow.search(out=run, resume=True, trials=3, trackers=specs)
    minnow.train(run, out=run, trackers=specs, **SMALL)
    for spec in specs:
        record = recorded(run, spec)
        values = [trial.metrics["f1"] for trial in again.trials]
        assert len(found.trials) == 2 and len(values) == 3
        for step, f1 in record.metrics["trial/f1"]:
            assert f1 == pytest.approx(values[step])
        assert sorted(step for step, _ in record.metrics["trial/f1"]) == [0, 1, 2], spec
        assert record.tables >= {"trials", "pareto_front"}
        kept = {"config.yaml", "architecture.yaml", "student/config.yaml", "student/metrics.json"}
        assert record.files >= kept | ({"summary.json"} if spec == EVENTS else {"report.html"})
        metrics = json.loads(Path(run, "student/metrics.json").read_text())
        (final,) = record.metrics["student/final/test_f1"]
        assert final == (metrics["epoch"], pytest.approx(metrics["test"]["f1"]))
        (loss,) = record.metrics["student/loss"]
        assert loss == (1, pytest.approx(metrics["history"][0]["loss"]))
        assert {"search.trials", "student.train.epochs"} <= record.parameters.keys()


def test_a_service_that_fails_ends_nothing(
    own_cache: Path, run: Path, recorded: Any, keeping: Any
) -> None:
    """One warning; a later call records the trials that were lost."""
    pytest.importorskip("mlflow")
    spec = f"mlflow:sqlite:///{Path.cwd()}/store.db"

    class Breaking(type(keeping)):  # type: ignore[misc]
        def trial_finished(self, trial: Trial) -> None:
            if trial.number == 1:
                with sqlite3.connect("store.db") as store:
                    store.execute("ALTER TABLE metrics RENAME TO hidden")

    listener = Breaking()
    options = {"out": run, "space": "toy", "trackers": [spec], **SMALL}
    assert len(minnow.search(**options, trials=3, confirm=0, listener=listener).trials) == 3
    (warning,) = [line for line in listener.warnings if line.startswith("tracker")]
    assert warning.startswith(f"tracker {spec}: MlflowException: ") and "\n" not in warning
    with sqlite3.connect("store.db") as store:
        store.execute("ALTER TABLE hidden RENAME TO metrics")
    minnow.search(out=run, resume=True, trials=3, trackers=[spec], listener=keeping)
    assert not any(line.startswith("tracker") for line in keeping.warnings)
    assert {step for step, _ in recorded(run, spec).metrics["trial/f1"]} == {0, 1, 2}


def test_a_service_that_is_away_at_the_start_is_an_error(
    own_cache: Path, run: Path, monkeypatch: pytest.MonkeyPatch, silent_server: str
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("minnow.trackers.tracker_thread._TO_OPEN", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    for url, words in ((nobody, "cannot be used: "), (silent_server, "no answer in 5 s")):
        with pytest.raises(UserError, match=words) as error:
            minnow.search(out="new", space="toy", trackers=[f"mlflow:{url}"], **SMALL)
        assert f"tracker mlflow:{url}" in str(error.value) and "\n" not in str(error.value)
        assert not Path("new").exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mlfow", "unknown tracker 'mlfow'; did you mean 'mlflow'\? known: mlflow, tensorboard, wandb"),
        ("tensorboard:", "lacks its place: write tensorboard or tensorboard:PLACE"),
        (
            "mlflow:https://me:secret@host",
            r"'mlflow:https://me:\*\*\*@host': the password would be stored",
        ),
        ("json:JSONDecoder", "not a subclass of Tracker"),
    ],
)
def test_a_wrong_tracker_is_one_line(spec: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        parse(spec)
    assert "secret" not in str(error.value)


def test_a_file_names_no_place_alone(run: Path, keeping: Any) -> None:
    """A run directory from elsewhere does not decide where its continuation is sent to."""
    (run / "config.yaml").write_text("trackers: ['mlflow:http://elsewhere', tensorboard]\n")
    with pytest.raises(
        SettingError, match=r"photos/config\.yaml names a tracker with a place or code"
    ) as error:
        search_settings({}, out=run, resume=True, listener=keeping)
    assert error.value.allowed_by == "mlflow:http://elsewhere"
    given = {"trackers": ["mlflow:http://elsewhere"]}
    assert search_settings(given, out=run, resume=True, listener=keeping)[0].trackers == tuple(
        given["trackers"]
    )
    (run / "config.yaml").write_text("trackers: [tensorboard]\n")
    assert search_settings({}, out=run, resume=True, listener=keeping)[0].trackers == ("tensorboard",)


def test_a_damaged_record_is_one_line(run: Path) -> None:
    (run / STATE).write_text('{"runs": {"tensorboard:events": {"identifier": "../../elsewhere"}}}')
    with (
        pytest.raises(UserError, match=r"photos/tracking\.json.*delete it to begin new ones"),
        tracked([EVENTS], Listener()) as listener,
    ):
        listener.started("search", run, SearchConfig())


def test_one_of_several_processes_records(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Listener()
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, recording in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        with tracked([EVENTS], receiver) as listener:
            assert isinstance(listener, Tracking) == recording
    with tracked([], receiver) as listener:
        assert listener is receiver
