"""A study that lost trials is not resumed in silence, and no study is written by two searches."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import minnow as api
from core.errors import UserError
from minnow import run_creation

READERS = ["report", "model show --no-latency", "train --epochs 1 --out new --model", "bench ranking"]


@pytest.fixture
def found(here: Path, finished: Path) -> Path:
    return Path(shutil.copytree(finished / "runs/found", here / "found"))


def cut(journal: Path, finished_trials: int) -> None:
    """Keep the operations up to the end of so many trials."""
    lines = journal.read_bytes().splitlines(keepends=True)
    ends = [number for number, line in enumerate(lines) if json.loads(line)["op_code"] == 6]
    kept = ends[finished_trials - 1] + 1 if finished_trials else ends[0]
    journal.write_bytes(b"".join(lines[:kept]))


@pytest.mark.parametrize("left", [0, 2])
def test_a_journal_that_lost_trials_is_refused(found, minnow, left):
    cut(found / "study.journal", left)
    content = (found / "study.journal").read_bytes()
    for command in ("search --resume --out", *READERS[:3]):
        complaint = minnow(f"{command} found").complaint
        assert f"summary.json lists 3 trials, but the study holds {left}" in complaint
        assert f"trial {left} is lost" in complaint and "from a copy, or delete summary.json" in complaint
    assert (found / "study.journal").read_bytes() == content
    with pytest.raises(UserError, match="lists 3 trials"):
        _ = api.Run(found).trials
    before = json.loads((found / "summary.json").read_text())["trials"]
    (found / "summary.json").unlink()
    assert minnow("search --resume --out found").code == 0
    after = json.loads((found / "summary.json").read_text())["trials"]
    assert [trial["choices"] for trial in after] == [trial["choices"] for trial in before]


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda journal: journal.write_bytes(b""),
        lambda journal: journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0]),
    ],
    ids=["deleted", "emptied", "cut to its first line"],
)
def test_a_killed_search_that_lost_its_journal_is_not_begun_anew(here, minnow, start, damage):
    child = start("search --space toy --trials 50 --epochs 1 --out killed")
    child.wait_for("trial 0 ")
    child.signal(signal.SIGKILL)
    journal = here / "killed/study.journal"
    assert not (here / "killed/summary.json").exists()
    damage(journal)
    complaint = minnow("search --resume --out killed --trials 1").complaint
    assert "killed has begun, but its storage (killed/study.journal) holds no study 'killed'" in complaint
    assert "restore it, or start in another run directory" in complaint
    assert not (here / "killed/summary.json").exists()


def test_a_killed_search_that_lost_its_database_is_not_begun_anew(here, minnow, start):
    command = "search --space toy --epochs 1 --out killed --storage sqlite:///study.db --trials"
    child = start(f"{command} 50")
    child.wait_for("trial 0 ")
    child.signal(signal.SIGKILL)
    (here / "study.db").unlink()
    assert "holds no study 'killed'" in minnow(f"{command} 1 --resume").complaint


@pytest.mark.slow  # a study in use is in nas/test_storage
def test_a_copied_run_cannot_write_the_study_of_a_running_one(here, minnow, start):
    """Nor after it; and afterwards both directories go on with the one study, in turns."""
    storage = "--storage sqlite:///study.db"
    assert minnow(f"search --space toy --trials 1 --epochs 1 --out one {storage}").code == 0
    shutil.copytree("one", "copy")
    running = start(f"search --resume --out one --trials 40 {storage}")
    running.wait_for("trial 2 ")
    said = minnow(f"search --resume --out copy --trials 3 {storage}")
    assert "study 'one' in storage 'sqlite:///study.db' is in use by another process" in said.complaint
    running.signal(signal.SIGINT)
    many = len(api.Run("one").trials)
    for name in ("copy", "one"):
        many += 1
        assert minnow(f"search --resume --out {name} --trials {many} {storage}").code == 0
    trials = api.Run("one").trials
    assert [trial.number for trial in trials] == list(range(many))


def test_runs_that_begin_together_get_different_names(here: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: run_creation.new_run("digits toy"), range(24)))
    assert len(set(runs)) == 24 and Path("runs/digits-toy") in runs


def test_the_last_run_of_a_name_is_found_though_an_earlier_one_was_removed(here: Path) -> None:
    first, second = run_creation.new_run("x"), run_creation.new_run("x")
    other = run_creation.new_run("xy")
    shutil.rmtree(first)
    assert run_creation.last_run("x") == second != other
    with pytest.raises(UserError, match=r"there is no runs.z to resume"):
        run_creation.last_run("z")


def test_other_processes_of_a_training_make_no_directory(here, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run_creation.new_run("x") == Path("runs/x")
    assert not Path("runs").exists()


@pytest.mark.parametrize("error", [UserError("wrong"), KeyboardInterrupt()])
def test_a_run_that_never_began_leaves_no_directory(here: Path, error: BaseException) -> None:
    run = run_creation.new_run("x")
    with pytest.raises(type(error)), run_creation.unclaimed_on_error(run):
        raise error
    assert os.listdir(here) == []
    kept = run_creation.new_run("x")
    before = run_creation.make_run(kept)
    with pytest.raises(UserError), run_creation.undone_on_error(kept, before):
        raise UserError("wrong")
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    "command",
    ["search --data missing", "search --space toy --limit params<=1", "train --model FOUND --data x"],
)
def test_a_command_that_fails_leaves_no_directory(
    here: Path, finished: Path, minnow: Callable, command: str
) -> None:
    assert minnow(command.replace("FOUND", f"{finished}/runs/found")).code == 2
    assert os.listdir(here) == []
