"""Trials that do not fit in memory fail, and the search goes on; resolutions are bounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import UserError
from nas.architecture import Architecture
from nas.spaces.toy import Toy


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_that_does_not_fit_fails_and_the_search_goes_on(here, start, minnow, workers):
    command = (
        "search --space mobilenet --strategy random --resolution 16,4096 --batch-size 512 --epochs 1 --confirm 0 "
        f"--workers {workers} --out new --trials"
    )
    limit = {"memory": 4 << 30}
    code, _, notices, *_ = start(f"{command} 5", **limit).end()
    assert code == 0, notices
    trials = json.loads(Path("new/summary.json").read_text())["trials"]
    failed = [trial for trial in trials if trial["metrics"] is None]
    assert 0 < len(failed) < 5
    for trial in failed:
        assert "not enough memory for this network at 4096 px" in trial["error"]
        assert trial["choices"]["resolution"] == 4096
    assert start(f"{command} 6 --resume", **limit).end().returncode == 0
    assert json.loads(Path("new/summary.json").read_text())["trials"][:5] == trials


@pytest.mark.slow  # a trial is in evaluators/test_train.py
def test_a_training_that_does_not_fit_is_one_line(here, finished, start):
    Path("model.yaml").write_text(Toy((1024,)).decode((0, 0, 0, 0)).to_text(num_classes=10))
    command = "train --model model.yaml --batch-size 512 --epochs 1 --out new"
    code, _, notices, *_ = start(command, memory=1 << 30).end()
    assert code == 2 and "Traceback" not in notices
    assert notices.splitlines()[-1].startswith("minnow: error: not enough memory (")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("search --space toy --resolution 4097", "--resolution"),
        ("search --space toy --resolution 64,100000000", "--resolution"),
        ("search --space toy --resolution 4", "--resolution"),
        ("model show model.yaml --image-size 5000", "--image-size"),
        ("model show large.yaml", "large.yaml"),
        ("train --model large.yaml --epochs 1", "large.yaml"),
    ],
)
def test_resolutions_are_bounded(here, minnow, command, option):
    network = Toy().decode((0, 0, 0, 0))
    text = network.to_text(num_classes=10)
    Path("model.yaml").write_text(text)
    Path("large.yaml").write_text(
        text.replace(f"resolution: {network.resolution}", "resolution: 99999999")
    )
    complaint = minnow(command).complaint
    assert option in complaint and ("4096" in complaint or "8" in complaint)


def test_spaces_and_architectures_bound_their_resolutions():
    with pytest.raises(UserError, match="4097 is too large"):
        Toy((64, 4097))
    with pytest.raises(UserError, match="4 is too small"):
        Toy((4, 64))
    network = Toy().decode((0, 0, 0, 0))
    with pytest.raises(ValueError, match="at most 4096 pixels"):
        Architecture(4097, 3, network.layers)
