"""``target profile``: measurements that an interruption keeps, and runs whose latencies are predicted."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import timm

import minnow as minnow_api
from core.errors import UserError
from deploy.device.link import ModelError
from deploy.profile_file import Profile, read_profile
from deploy.targets.session import Latency
from minnow import target_profile
from minnow.predicted_latency import note_predictions, predicted_latencies
from minnow.target_profile import ProfileJob, run_profile
from nas.architecture import Architecture
from nas.spaces.toy import Toy


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[Architecture]:
    """A device whose time is known; the networks that it measured."""
    measured: list[Architecture] = []

    def measure(network: Architecture, num_classes: int, *, target: str) -> Latency:
        measured.append(network)
        macs = sum(operation.macs for operation in network.operations(num_classes))
        return Latency(0.01 + macs / 1e7, 0.001, 50, "a board")

    monkeypatch.setattr(target_profile, "measure_architecture", measure)
    return measured


@pytest.fixture
def profile(here: Path, device: list[Architecture], keeping) -> Profile:
    return run_profile(ProfileJob("onnxruntime", here / "toy.json", "toy", networks=8), keeping)


def names(path: Path) -> list[object]:
    return [one["network"] for one in json.loads(path.read_text())["measured"]]


def test_what_is_measured_is_not_measured_again(profile, device, keeping, here):
    path = here / "toy.json"
    assert len(device) == 8
    before = names(path)
    again = run_profile(ProfileJob("onnxruntime", path, "toy", networks=8), keeping)
    assert len(device) == 8 and again.errors == profile.errors
    more = run_profile(ProfileJob("onnxruntime", path, "toy", networks=11), keeping)
    assert len(device) == 11 and names(path)[:8] == before
    assert len(more.record.measured) == 11 == len({network.key for network in device})
    assert [file.name for file in here.glob("*toy*")] == ["toy.json"]


def test_an_interruption_loses_at_most_the_measurement_in_progress(here, device, keeping, monkeypatch):
    real = target_profile.measure_architecture

    def measure(*arguments, **options):
        if len(device) == 5:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(target_profile, "measure_architecture", measure)
    job = ProfileJob("onnxruntime", here / "profiles/toy.json", "toy", networks=8)
    with pytest.raises(KeyboardInterrupt):
        run_profile(job, keeping)
    assert len(names(job.out)) == 5
    with pytest.raises(UserError, match="5 networks are measured"):
        read_profile(job.out)
    monkeypatch.setattr(target_profile, "measure_architecture", real)
    assert len(run_profile(job, keeping).record.measured) == 8 == len(device)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "onnxruntime-int8"}, "target"),
        ({"space": "mobilenet"}, "space"),
        ({"num_classes": 5}, "num_classes"),
        ({"resolutions": (48,)}, "resolutions"),
        ({"seed": 1}, "seed"),
    ],
)
def test_other_measurements_are_not_mixed_in(profile, device, keeping, here, changes, message):
    path = here / "toy.json"
    before = path.read_bytes()
    job = ProfileJob(**{"target": "onnxruntime", "out": path, "space": "toy", "networks": 11, **changes})
    with pytest.raises(UserError, match=rf"another profile: its {message} is"):
        run_profile(job, keeping)
    assert path.read_bytes() == before and len(device) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": Path("toy.txt")}, "ends with .json"),
        ({"networks": 3}, "4 to 1000"),
        ({"networks": 13}, "only 12 networks"),
        ({"space": "nowhere"}, "unknown"),
        ({"teacher": "tf_efficientnet_lite0"}, "leave it out"),
        ({"target": "./mine.py:Mine"}, "cannot name code"),
        ({"target": "other.json"}, "is a profile"),
    ],
)
def test_wrong_settings(here, device, keeping, changes, message):
    job = {"target": "onnxruntime", "out": here / "toy.json", "space": "toy", "networks": 8, **changes}
    with pytest.raises(UserError, match=message):
        run_profile(ProfileJob(**job), keeping)


def test_networks_that_the_target_cannot_run_are_left_out(here, device, keeping, monkeypatch):
    real = target_profile.measure_architecture

    def measure(network, *arguments, **options):
        if any(getattr(layer, "kernel", 3) == 5 for layer in network.layers):
            raise ModelError("no such kernel")
        return real(network, *arguments, **options)

    monkeypatch.setattr(target_profile, "measure_architecture", measure)
    job = ProfileJob("onnxruntime", here / "toy.json", "toy", networks=4)
    assert len(run_profile(job, keeping).record.measured) == 4
    assert all("no such kernel" in warning for warning in keeping.warnings)
    monkeypatch.setattr(target_profile, "measure_architecture", lambda *_, **__: 1 / 0)
    assert len(run_profile(job, keeping).record.measured) == 4


def test_a_target_that_runs_nothing_is_an_error(here, device, keeping, monkeypatch):
    def measure(*arguments, **options):
        raise ModelError("no memory")

    monkeypatch.setattr(target_profile, "measure_architecture", measure)
    with pytest.raises(UserError, match="ran none of the last 5 networks: no memory"):
        run_profile(ProfileJob("onnxruntime", here / "toy.json", "toy", networks=8), keeping)


def test_a_killed_command_goes_on(here, start, minnow):
    """With real measurements, to the end."""
    command = "target profile --space toy -n 6 --classes 10 --out killed.json"
    running = start(command)
    deadline, path = time.monotonic() + 120, here / "killed.json"
    while not (path.exists() and len(names(path)) >= 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.signal(signal.SIGKILL)
    before = names(path)
    assert 2 <= len(before) <= 6
    said = minnow(command)
    assert said.code == 0 and names(path)[: len(before)] == before
    assert "killed.json (6 networks): onnxruntime " in said.output
    assert "left out of the fit: rank correlation" in said.output
    assert "search --target killed.json" in said.output
    assert not list(here.glob(".killed*"))


def test_a_search_keeps_the_margin(profile, here, keeping, device):
    networks = [Toy().decode(choices) for choices in ((0, 0, 0, 0), (1, 1, 1, 1))]
    path = here / "toy.json"
    content = json.loads(path.read_text())
    for one in content["measured"]:  # predictions that are a fifth too low
        one["left_out_ms"] = one["milliseconds"] / 1.2
    path.write_text(json.dumps(content))
    small, large = (read_profile(path).latency(network, 10).median_ms for network in networks)
    limit = (small + large) / 2
    run = minnow_api.search(
        "digits",
        space="toy",
        target="toy.json",
        limits=[f"latency_ms<={limit}"],
        trials=3,
        epochs=1,
        confirm=0,
        out="run",
        listener=keeping,
    )
    assert len(device) == 8  # those of the profile: the search measured nothing
    assert len(run.trials) == 3
    for trial in run.trials:
        predicted = read_profile(path).latency(trial.architecture, 10).median_ms
        assert trial.metrics["latency_ms"] == pytest.approx(1.2 * predicted)
        assert 1.2 * predicted <= limit
    lines = [note for note in keeping.notes if note.startswith("latencies are predicted from toy.json")]
    assert len(lines) == 1 and "8 networks" in lines[0] and "margin of 20.0%" in lines[0]
    summary = json.loads((here / "run/summary.json").read_text())
    assert summary["latency_ms"].startswith("predicted from toy.json (8 networks): onnxruntime ")
    page = (here / "run/report.html").read_text()
    assert "predicted latency" in page and summary["latency_ms"] in page
    path.unlink()  # what was searched can be read without the profile
    assert minnow_api.Run("run").pick("fastest").number == run.pick("fastest").number


def test_marks_in_all_outputs(profile, here, minnow):
    said = minnow("search --space toy --trials 2 --epochs 1 --target toy.json --out run")
    assert said.code == 0 and "predicted latency" in said.output
    said = minnow("train --model run --epochs 1 --target toy.json")
    assert said.code == 0 and "ms, predicted" in said.output
    student = next(here.glob("runs/*/student"))
    latency = json.loads((student / "metrics.json").read_text())["latency_ms"]
    assert latency["n"] == 0 and latency["runtime"].startswith("predicted from toy.json")
    assert "predicted from toy.json" in (student.parent / "report.html").read_text()
    for network in (student, "run"):
        said = minnow(f"latency {network} --target toy.json")
        assert said.code == 0
        assert "not measured" in said.output and "predicted from toy.json (8 networks)" in said.output


def test_teachers_are_predicted_where_all_are_known(profile):
    mobile, other = (timm.create_model(name, num_classes=10) for name in ("mobilenetv2_100", "resnet18"))
    student = Toy().decode((0, 0, 0, 0))
    own, teacher = predicted_latencies(profile, student, [(mobile, 64)], 10)
    assert own == profile.latency(student, 10).to_dict()
    assert teacher["n"] == 0 and teacher["median"] > own["median"]
    unknown = predicted_latencies(profile, student, [(mobile, 64), (other, 64)], 10)
    assert unknown == [own, {}, {}]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (("toy", None, (224,), 10), ()),
        ((None, None, (32,), 50), ()),
        (
            ("elastic", "tf_efficientnet_lite0", (224,), 10),
            ("are of the base tf_efficientnet_lite0 (there: the space toy)",),
        ),
        (("toy", None, (24, 64), 10), ("inputs of 24 to 64 px (there: 32 to 224)",)),
        (("toy", None, (64,), 51), ("have 51 classes (there: 10)",)),
    ],
)
def test_networks_unlike_those_measured_are_noted(profile, here, keeping, network, words):
    note_predictions("toy.json", *network, keeping)
    assert len(keeping.notes) == 1 + bool(words)
    assert all(word in keeping.notes[-1] for word in words)
    note_predictions("onnxruntime", *network, keeping)
    assert len(keeping.notes) == 1 + bool(words)


@pytest.mark.parametrize("command", ["search --space toy", "train --model {run}", "latency {run}"])
def test_a_missing_or_damaged_profile_is_found_before_the_work(here, minnow, finished, command):
    command = command.format(run=f"{finished}/runs/found")
    assert "none.json does not exist" in minnow(f"{command} --target none.json").complaint
    (here / "bad.json").write_text('{"version": 1')
    assert "bad.json is damaged" in minnow(f"{command} --target bad.json").complaint
    assert not (here / "runs").exists()


def test_a_resumed_search_needs_the_same_profile(profile, here, minnow, device, keeping):
    assert minnow("search --space toy --trials 1 --epochs 1 --target toy.json --out run").code == 0
    run_profile(ProfileJob("onnxruntime", here / "toy.json", "toy", networks=9), keeping)
    complaint = minnow("search --resume --out run --trials 2").complaint
    assert "target" in complaint and "toy.json (" in complaint


def test_targets_are_listed_with_what_is_missing(minnow, here):
    said = minnow("target list")
    assert said.code == 0 and "onnxruntime-int8" in said.output and "yes" in said.output
