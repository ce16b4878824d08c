"""``search --confirm``: what is announced while it runs, and what the table and the summary say."""

from __future__ import annotations

import json
from statistics import mean


def test_a_repeat_is_announced_and_counts_in_the_mean(here, minnow):
    said = minnow("search --space toy --strategy random --epochs 1 --trials 5 --out new")
    assert said.code == 0
    assert "5 trials of 1 epoch, the last 1 to confirm the best" in "".join(said.notices)
    content = json.loads((here / "new/summary.json").read_text())
    *first, last = content["trials"]
    again = next(trial for trial in first if trial["choices"] == last["choices"])
    line = next(line for line in said.notices if line.startswith("trial 4 "))
    assert f"trial {again['number']} again, f1 {last['metrics']['f1']:.3f}" in line
    merits = {trial["number"]: trial["metrics"]["f1"] for trial in first}
    merits[again["number"]] = mean((again["metrics"]["f1"], last["metrics"]["f1"]))
    assert content["best"] == max(merits, key=merits.__getitem__)
    assert ("mean of" in said.output) == (content["best"] == again["number"])


def test_without_it_nothing_is_trained_twice(here, minnow):
    said = minnow("search --space toy --strategy random --epochs 1 --trials 5 --confirm 0 --out new")
    trials = json.loads((here / "new/summary.json").read_text())["trials"]
    assert len({tuple(trial["choices"].items()) for trial in trials}) == 5
    assert "mean of" not in said.output
