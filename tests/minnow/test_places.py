"""A search that cannot begin leaves nothing that was not there, and ``runs/latest`` stays a link."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from nas.strategies.base import Strategy

pytestmark = pytest.mark.usefixtures("photos")

SEARCH = "search --data photos --space toy --trials 1 --epochs 1"


def everything(folder: Path) -> dict[str, object]:
    def content(path: Path) -> object:
        return os.readlink(path) if path.is_symlink() else path.is_dir() or path.read_bytes()

    return {str(path): content(path) for path in folder.rglob("*")}


def test_a_foreign_study_in_a_shared_storage(here, minnow):
    assert minnow(f"{SEARCH} --storage sqlite:///study.db --out a/x").code == 0
    for there in (None, "b", "b/x", "b/x/notes"):
        if there is not None:
            (here / there).mkdir()
        before = everything(here)
        wrong = minnow(f"{SEARCH} --storage sqlite:///study.db --out b/x")
        assert "holds a study 'x' already" in wrong.complaint
        assert everything(here) == before


def test_a_run_goes_on_under_another_name(here, finished, minnow):
    shutil.copytree(finished / "runs/found", here / "renamed")
    before = json.loads((here / "renamed/summary.json").read_text())["trials"]
    said = minnow("search --resume --out renamed --strategy random --seed 7 --trials 4")
    assert said.code == 0, said.notices
    after = json.loads((here / "renamed/summary.json").read_text())["trials"]
    assert after[:3] == before and len(after) == 4


def test_the_study_of_a_file_of_settings_is_another_one(here, minnow):
    storage = "--storage sqlite:///study.db"
    assert minnow(f"{SEARCH} {storage} --out first").code == 0
    again = f"search --config first/config.yaml {storage} --out"
    for name in ("second", "third"):
        assert minnow(f"{again} {name}").code == 0
        assert f"study: {name}\n" in (here / name / "config.yaml").read_text()
    resumed = f"search --resume --out first --config third/config.yaml {storage} --trials 2"
    assert minnow(resumed).code == 0
    assert "study: first\n" in (here / "first/config.yaml").read_text()


def test_a_run_that_lost_its_study_is_not_begun_anew(here, finished, minnow):
    shutil.copytree(finished / "runs/found", here / "lost")
    (here / "lost/study.journal").unlink()
    before = (here / "lost/summary.json").read_bytes()
    said = minnow("search --resume --out lost --trials 4")
    assert "holds no study 'found'" in said.complaint
    assert (here / "lost/summary.json").read_bytes() == before


def test_no_network_is_chosen_under_limits_that_none_meets(here, finished, minnow):
    shutil.copytree(finished / "runs/found", here / "found")
    assert (here / "found/architecture.yaml").exists()
    assert minnow("search --resume --out found --trials 3 --limit f1>=0.999").code == 0
    assert json.loads((here / "found/summary.json").read_text())["best"] is None
    assert not (here / "found/architecture.yaml").exists()


@pytest.mark.parametrize("first", [True, False])
def test_a_search_that_ends_before_its_first_trial(here, minnow, monkeypatch, first):
    """Here the strategy finds out; also the link to the last search is as it was."""
    if not first:
        assert minnow(f"{SEARCH} --out runs/first").code == 0
    from core.errors import UserError

    def refuses(self, *arguments):
        raise UserError("nothing fits")

    before = everything(here)
    monkeypatch.setattr(Strategy, "ask", refuses)
    said = minnow(f"{SEARCH} --storage sqlite:///study.db")
    assert said.complaint == "nothing fits"
    left = everything(here)
    assert left.pop(str(here / "study.db"))
    assert left == before
    with sqlite3.connect(here / "study.db") as base:
        assert base.execute("select count(*) from studies").fetchone() == (0,)


def test_workers_that_cannot_start_leave_nothing_but_one_line(here, minnow, monkeypatch):
    (here / "site").mkdir()
    (here / "site/sitecustomize.py").write_text(
        "import os, sys\nif 'spawn_main' in ' '.join(sys.orig_argv): os._exit(7)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(here / "site"))
    said = minnow(f"{SEARCH} --workers 2")
    assert "exit code 7" in said.complaint and "2 workers" in said.complaint
    assert not any("trial 0" in line for line in said.notices)
    assert not (here / "runs").exists()


@pytest.mark.parametrize("out", ["runs/latest", "runs/latest/", "runs/latest/below"])
def test_nothing_is_made_where_the_link_will_be(here, finished, minnow, out):
    for command in (SEARCH, f"train --model {finished}/runs/found --epochs 1"):
        assert "last search" in minnow(f"{command} --out {out}").complaint
    assert not (here / "runs").exists()


def test_a_directory_in_the_place_of_the_link(here, minnow):
    (here / "runs/latest").mkdir(parents=True)
    before = everything(here)
    assert "runs/latest is no link" in minnow(SEARCH).complaint
    assert everything(here) == before


def test_a_student_may_go_into_the_last_search(here, minnow):
    assert minnow(f"{SEARCH} --out runs/found").code == 0
    assert minnow("train --model runs/latest --epochs 1 --out runs/latest").code == 0
    assert (here / "runs/found/student/model.safetensors").exists()
    assert (here / "runs/latest").is_symlink()
