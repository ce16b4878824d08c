"""Picking a network by what it must do: three goals, conditions, and what the minnow say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import yaml

from minnow.run_directory import Run
from nas.architecture import Architecture
from nas.spaces.toy import Toy
from nas.storage import open_storage
from nas.study import Store


def metrics_of(run) -> dict[int, dict]:
    content = json.loads((run / "summary.json").read_text())
    return {trial["number"]: trial["metrics"] for trial in content["trials"]}


def test_the_smallest_that_is_good_enough_is_trained(here, minnow, finished):
    found = metrics_of(finished / "runs/found")
    floor = sorted(metrics["f1"] for metrics in found.values())[1]  # the worst of three does not meet it
    good = {n: m["params"] for n, m in found.items() if m["f1"] >= floor - 1e-6}
    wanted = min(good, key=good.__getitem__)
    condition = f"f1>={floor - 1e-6:.8f},latency_ms<=1000"
    said = minnow(f"train --model {finished}/runs/found --pick smallest:{condition} --epochs 1 --out new")
    assert said.code == 0
    assert any(line.startswith(f"student: trial {wanted} of") for line in said.notices)
    trained = Architecture.from_yaml(here / "new/student/architecture.yaml")
    trials = json.loads((finished / "runs/found/summary.json").read_text())["trials"]
    assert trained == Architecture.from_content(trials[wanted]["model"], Path("summary.json"))


def test_distill_takes_the_same_picks(here, minnow, finished):
    said = minnow(
        f"distill --teacher {finished}/runs/alone --student {finished}/runs/found --pick smallest:f1>=99.9% "
        f"--out new"
    )
    assert "no trial of" in said.complaint and "the nearest, trial" in said.complaint
    assert "f1>=0.999" in said.complaint


def test_a_repeated_network_counts_with_its_mean(here, minnow, finished):
    """The study of a search, with a repeat added that takes its smallest network below the floor."""
    shutil.copytree(finished / "runs/found", here / "found")
    wanted = iter(({"f1": 0.9, "params": 300}, {"f1": 0.8, "params": 200}, {"f1": 0.7, "params": 100}))
    journal = here / "found/study.journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if "metrics" in line.get("user_attr", {}):
            line["user_attr"]["metrics"] |= next(wanted)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = Run(here / "found")
    store = Store(
        open_storage(journal, None), "found", Toy((16, 24, 32)), run.objectives, run.study.identity
    )
    repeat = replace(run.trials[2].proposal, number=3, seed=7)
    store.begin(repeat, {})
    store.finish(repeat.complete({**run.trials[2].metrics, "f1": 0.3}))
    for pick, number in (("smallest:f1>=0.5", 2), ("smallest:f1>=0.6", 1), ("best:params<=150", 2)):
        said = minnow(f"train --model found --pick {pick} --epochs 1 --out runs/{number}-{pick[:4]}")
        assert any(line.startswith(f"student: trial {number} of") for line in said.notices), pick


def test_three_goals_one_of_them_the_score_of_timed_images(here, minnow):
    """Search, table, summary and knee; then the same study goes on."""
    said = minnow(
        "search --space toy --strategy random --trials 2 --epochs 1 --objective f1 --objective params "
        "--objective score:min --score-reference f1=0.2,time=0.5 --out new"
    )
    assert said.code == 0, said.notices
    (told,) = [line for line in said.notices if line.startswith("total_seconds:")]
    assert "179 validation images" in told and "/ 0.5 + sigmoid(20 * (0.2 - f1))" in told
    header = next(line for line in said.output.splitlines() if "score" in line and "trial" in line)
    assert all(title in header for title in ("val F1", "params", "score", "all images"))
    config = yaml.safe_load((here / "new/config.yaml").read_text())
    assert config["score"] == {"f1": 0.2, "time": 0.5}
    assert minnow("search --resume --out new --trials 3").code == 0
    found, summary = metrics_of(here / "new"), json.loads((here / "new/summary.json").read_text())
    assert len(found) == 3 and all(0 < metrics["total_seconds"] < 30 for metrics in found.values())
    points = {n: (-m["f1"], m["params"], m["score"]) for n, m in found.items()}
    for number, point in points.items():
        beaten = any(
            o != point and all(a <= b for a, b in zip(o, point, strict=True)) for o in points.values()
        )
        assert (number in summary["front"]) != beaten
    assert summary["knee"] in summary["front"]
    said = minnow("search --resume --out new --score-reference time=0.6")
    assert "another score.time" in said.complaint
    said = minnow("train --model new --pick best:score<=99 --epochs 1 --out trained")
    assert any(line.startswith(f"student: trial {summary['best']} of") for line in said.notices)


def test_a_limit_that_earlier_trials_did_not_measure_changes_nothing(here, minnow, finished):
    shutil.copytree(finished / "runs/found", here / "found")
    before = (here / "found/config.yaml").read_bytes()
    said = minnow("search --resume --out found --trials 4 --limit total_seconds<=9")
    assert "total_seconds was not measured in 3 of the 3 trials" in said.complaint
    assert (here / "found/config.yaml").read_bytes() == before
    assert minnow("search --resume --out found --trials 4").code == 0


def test_the_front_names_the_knee_and_how_to_pick_it(here, minnow, finished):
    shutil.copytree(finished / "runs/found", here / "found")
    said = minnow("search --resume --out found")
    summary = json.loads((here / "found/summary.json").read_text())
    assert any("knee" in line for line in said.output.splitlines()) == (len(summary["front"]) > 1)
    assert any("--pick knee" in line for line in said.notices) == (len(summary["front"]) > 1)
