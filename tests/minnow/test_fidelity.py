"""``search --fidelity asha``: what is shown, what stays on the disk, resuming, workers."""

from __future__ import annotations

import json

import pytest

COMMAND = "search --space toy --strategy random --fidelity asha --epochs 3"


def trials(run) -> list[tuple]:
    content = json.loads((run / "summary.json").read_text())["trials"]
    return [(t["number"], t["epochs"], t["parent"], (t["metrics"] or {}).get("f1")) for t in content]


def test_the_study_shows_and_keeps_what_it_should(here, minnow, write_classes):
    write_classes(here / "photos")
    whole = minnow(f"{COMMAND} --data photos --trials 3 --out whole")
    assert whole.code == 0
    assert "3 trials of 3 epochs, spent in rungs of 1, 3" in "".join(whole.notices)
    assert any("(epoch 3; " in line for line in whole.notices)
    assert "epochs" in whole.output
    assert {epochs for _, epochs, _, _ in trials(here / "whole")} == {1, 3}
    kept = {path.name for path in (here / "whole/checkpoints").iterdir()}
    assert len(kept) < 2
    assert minnow(f"{COMMAND} --data photos --trials 2 --out cut").code == 0
    assert minnow("search --resume --trials 3 --out cut").code == 0
    assert trials(here / "cut") == trials(here / "whole")
    assert "another fidelity" in minnow("search --resume --fidelity full --out cut").complaint


@pytest.mark.slow
def test_workers_and_confirmation(here, minnow):
    said = minnow(f"{COMMAND} --trials 4 --confirm 1 --workers 2 --out new")
    assert said.code == 0
    found = trials(here / "new")
    assert [number for number, *_ in found] == list(range(len(found)))
    assert any(parent is not None for _, _, parent, _ in found)
    assert any(epochs == 3 and parent is None for _, epochs, parent, _ in found)
    assert not [line for line in said.notices if line.startswith("warning")]


def test_too_few_epochs_to_divide(here, minnow):
    said = minnow("search --space toy --fidelity asha --epochs 2 --out new")
    assert said.complaint == "asha cannot shorten a training of 2 epochs; train for 3 epochs or more"
    assert "input should be 'full' or 'asha'" in minnow("search --fidelity fast --out new").complaint


def test_a_search_without_it_says_nothing_of_lengths(there):
    content = json.loads((there / "runs/found/summary.json").read_text())["trials"]
    assert all(trial["epochs"] is None and trial["parent"] is None for trial in content)
    assert not (there / "runs/found/checkpoints").exists()
