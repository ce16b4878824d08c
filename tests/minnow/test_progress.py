"""What trainings and searches say of themselves where there is no terminal."""

from __future__ import annotations

import pytest

from minnow import progress
from minnow.listener import SearchPlan
from nas.objectives import Objectives
from nas.spaces.toy import Toy
from nas.trial import Proposal
from training.fit import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that tests set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def _run(clock, capsys, first=0, epochs=4, seconds=60.0):
    with progress.ConsoleListener() as listener:
        for epoch in range(first, epochs):
            listener.training("training", Progress(epoch, epochs, 1, 2, 50.0, 0.5 if epoch else None))
            clock[0] += seconds
            listener.training("training", Progress(epoch + 1, epochs, 0, 2, 50.0, 0.5))
    return capsys.readouterr().err.splitlines()


def test_a_line_per_epoch_says_how_long_the_rest_takes(clock, capsys):
    assert _run(clock, capsys) == [
        "training: epoch 1 of 4, 50 images/s, val F1 0.500; 3m 00s left",
        "training: epoch 2 of 4, 50 images/s, val F1 0.500; 2m 00s left",
        "training: epoch 3 of 4, 50 images/s, val F1 0.500; 1m 00s left",
        "training: epoch 4 of 4, 50 images/s, val F1 0.500",
    ]


def test_epochs_before_an_interruption_do_not_count(clock, capsys):
    assert _run(clock, capsys, first=2)[0].endswith("; 1m 00s left")


def test_quick_epochs_share_their_lines(clock, capsys):
    lines = _run(clock, capsys, epochs=40, seconds=1.0)
    assert [line.split()[2] for line in lines] == ["1", "12", "23", "34", "40"]
    assert lines[1].endswith("; 28s left")


@pytest.mark.parametrize(("timeout", "left"), [(None, "9m 00s"), (1000.0, "9m 00s"), (240.0, "3m 00s")])
def test_a_search_does_not_announce_more_time_than_it_may_take(clock, capsys, timeout, left):
    objectives = Objectives.parse(["f1"], [])
    listener = progress.ConsoleListener()
    listener.search_started(SearchPlan(objectives, (), 10, lambda proposal: 1, timeout))
    clock[0] += 60.0
    listener.trial_finished(Proposal(0, (), Toy().decode((0, 0, 0, 0)), seed=0).complete({"f1": 0.5}))
    assert capsys.readouterr().err.endswith(f"; {left} left\n")


def test_which_trials_run_where():
    text = progress.places_text({"one": [3, 5], "two": [], "three": [4]}, 2)
    assert text == "one: 3, 5; three: 4; 1 idle; 2 waiting"
    many = progress.places_text({f"node{number}": [number] for number in range(9)}, 0)
    assert many.startswith("node0: 0; ")
    assert many.endswith("node5: 5; 3 more nodes: 3 trials")
