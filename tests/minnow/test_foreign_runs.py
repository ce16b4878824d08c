"""Run directories and settings from elsewhere run no code and open no database that the caller does not name."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import minnow as api
from core.errors import UserError

#: Leaves a trace when it is imported, wherever that happens.
EVIL = """
import os
from pathlib import Path
Path(os.environ["TRACE"]).touch()
from distill.losses.hint import Hint
from distill.losses.kd import KD
from nas.spaces.toy import Toy
from nas.strategies.random import RandomSearch

class X(RandomSearch): pass
class Space(Toy): pass
class Loss(KD): pass
class Features(Hint): pass
"""
SETTINGS = [
    ("strategy.name", "X", "--strategy"),
    ("space.name", "Space", "--space"),
    ("loss.name", "Loss", "--loss"),
    ("loss.features", "Features", "--features"),
    ("loss.options.of", "Loss", "--loss-option of="),
]


@pytest.fixture
def trace(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the code leaves its trace, in a directory with both a file and a module of it."""
    monkeypatch.setenv("TRACE", str(here / "trace"))
    (here / "evil.py").write_text(EVIL)
    (here / "evil_module.py").write_text(EVIL)
    monkeypatch.syspath_prepend(here)
    return here / "trace"


@pytest.fixture
def theirs(here: Path, finished: Path) -> Path:
    return Path(shutil.copytree(finished / "runs/found", here / "theirs"))


def rewrite(path: Path, name: str, value: str) -> None:
    """Give one setting of a run another value."""
    import yaml

    content = yaml.safe_load(path.read_text())
    *parents, last = name.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    place[last] = value
    if name == "loss.options.of":
        content["loss"]["name"] = "ls"
    path.write_text(yaml.safe_dump(content))


def test_a_run_names_no_cluster_that_is_joined(theirs, minnow):
    rewrite(theirs / "config.yaml", "executor", "ray:192.0.2.1:6379")
    for command in (
        "search --resume --out theirs --trials 4",
        "search --config theirs/config.yaml --out new",
    ):
        complaint = minnow(command).complaint
        assert complaint.startswith("--executor (executor): theirs/config.yaml names code"), complaint
        assert complaint.endswith("add --executor ray:192.0.2.1:6379")
    assert not Path("new").exists()


@pytest.mark.parametrize("name", ["optunahub:./evil", "optunahub:auto_sampler", "optuna:auto"])
def test_a_run_names_no_package_of_optunahub(theirs, minnow, name):
    Path("evil").mkdir()
    Path("evil/__init__.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    rewrite(theirs / "config.yaml", "strategy.name", name)
    for command in (
        "search --resume --out theirs --trials 4",
        "search --config theirs/config.yaml --out new",
    ):
        complaint = minnow(command).complaint
        assert complaint.startswith("--strategy (strategy.name): theirs/config.yaml names code"), (
            complaint
        )
        assert complaint.endswith(f"add --strategy {name}")
    assert not Path("ran").exists() and not Path("new").exists()


@pytest.mark.parametrize("prefix", ["./evil.py", "evil_module", "evil_module.sub"])
@pytest.mark.parametrize(("name", "kind", "option"), SETTINGS)
def test_a_run_names_no_code_that_is_run(theirs, trace, minnow, prefix, name, kind, option):
    code = f"{prefix}:{kind}"
    rewrite(theirs / "config.yaml", name, code)
    for command in (
        "search --resume --out theirs --trials 4",
        "fit --resume --out theirs --trials 4",
        "search --config theirs/config.yaml --out new",
        *(["bench ranking theirs"] if name != "strategy.name" else []),
    ):
        complaint = minnow(command).complaint
        assert complaint.startswith(f"{option.split()[0]} ({name}): theirs/config.yaml names code"), (
            complaint
        )
        assert complaint.endswith(f"add {option}{'' if option.endswith('=') else ' '}{code}")
    assert not trace.exists() and not Path("new").exists()
    with pytest.raises(UserError, match=f"give {name} '{code}' in this call"):
        api.search(out="theirs", resume=True)
    assert not trace.exists()


@pytest.mark.parametrize(("name", "kind", "option"), SETTINGS[2:])
@pytest.mark.parametrize("command", ["distill --student theirs --teacher theirs", "train --model theirs"])
def test_a_file_of_settings_of_a_student_names_no_code(
    theirs, trace, minnow, name, kind, option, command
):
    Path("student.yaml").write_text("loss: {name: kd, options: {}, features: null}\n")
    rewrite(Path("student.yaml"), name, f"./evil.py:{kind}")
    complaint = minnow(f"{command} --config student.yaml --out new").complaint
    assert "student.yaml names code that would be run, './evil.py:" in complaint
    assert option in complaint and not trace.exists()


@pytest.mark.parametrize("code", ["./evil.py:X", "onnxruntime@ssh:pi@192.0.2.1/home/evil/python3"])
def test_a_run_names_no_target_that_runs_code(theirs, alone, trace, minnow, code):
    for run in (theirs / "config.yaml", alone / "student/config.yaml"):
        rewrite(run, "target", code)
    (alone / "student/checksums.sha256").unlink()
    for run in ("theirs", "alone"):
        complaint = minnow(f"latency {run}").complaint
        assert complaint.startswith(f"--target (target): {run}/") and "names code" in complaint
        assert complaint.endswith(f"add --target {code}")
    complaint = minnow("distill --student theirs --teacher alone --out new").complaint
    assert complaint.startswith("--target (target): theirs/config.yaml names code"), complaint
    assert not trace.exists()


def test_reading_a_run_imports_nothing(theirs, trace, minnow):
    for name, kind, _ in SETTINGS[:4]:
        rewrite(theirs / "config.yaml", name, f"./evil.py:{kind}")
    for command in (
        *("report theirs", "model show theirs --no-latency", "model convert theirs out.yaml"),
        "train --model theirs --epochs 1 --out new",
    ):
        assert minnow(command).code == 0
    assert len(api.Run("theirs").trials) == 3
    assert not trace.exists()


def test_code_that_the_call_names_is_run(theirs, trace, minnow):
    rewrite(theirs / "config.yaml", "strategy.name", "./evil.py:X")
    assert minnow("search --resume --out theirs --trials 4 --strategy ./evil.py:X").code == 0
    assert trace.exists()
    trace.unlink()
    said = minnow("search --resume --out theirs --trials 5 --strategy tpe")  # what is not used harms none
    assert said.code == 0 and not trace.exists()


def test_a_report_says_how_to_go_on_with_code_of_the_run(theirs, trace, minnow):
    rewrite(theirs / "config.yaml", "strategy.name", "./evil.py:X")
    assert minnow("report theirs").code == 0
    page = (theirs / "report.html").read_text()
    assert "search --resume --out theirs --strategy ./evil.py:X --trials 13" in page


def test_a_family_and_a_builtin_are_no_code(theirs, minnow):
    rewrite(theirs / "config.yaml", "strategy.name", "optuna:random")
    assert minnow("search --resume --out theirs --trials 4").code == 0


URL = "postgresql://me:pass-phrase@db.example/x"


@pytest.mark.parametrize(
    ("stored", "environment"),
    [
        (URL, None),
        ("postgresql://me@db.example/x", URL.replace("db.example", "elsewhere")),
        ("sqlite:///made.db", None),
        ("sqlite:///file:made.db?mode=rwc&uri=true", None),
    ],
)
def test_a_run_names_no_database_that_is_written(
    theirs: Path,
    minnow: Callable,
    monkeypatch: pytest.MonkeyPatch,
    stored: str,
    environment: str | None,
) -> None:
    rewrite(theirs / "config.yaml", "storage", stored)
    if environment is not None:
        monkeypatch.setenv("MINNOW_STORAGE", environment)
    for command in ("search --resume --out theirs", "search --config theirs/config.yaml --out new"):
        complaint = minnow(command).complaint
        assert complaint.startswith("--storage (storage): theirs/config.yaml names ")
        assert "MINNOW_STORAGE" in complaint and "pass-phrase" not in complaint
    readers = ("report theirs", "model show theirs", "train --model theirs", "distill --student theirs")
    for command in readers:
        complaint = minnow(command).complaint
        assert "pass-phrase" not in complaint
        assert "MINNOW_STORAGE" in complaint or "no such file" in complaint
    assert not Path("made.db").exists() and not Path("new").exists()


@pytest.mark.usefixtures("photos")
def test_a_sqlite_run_is_read_as_it_is_and_written_only_when_named(here, minnow, monkeypatch):
    storage = "sqlite:///study.db"
    search = "search --data photos --space toy --trials 1 --epochs 1 --out new"
    assert minnow(f"{search} --storage {storage}").code == 0
    before = Path("study.db").read_bytes()
    for command in ("report new", "model show new --no-latency"):
        assert minnow(command).code == 0
    assert f"search --resume --out new --storage {storage} " in Path("new/report.html").read_text()
    assert Path("study.db").read_bytes() == before
    resume = "search --resume --out new --trials"
    assert minnow(f"{resume} 2").complaint.endswith(f"add --storage {storage}")
    monkeypatch.setenv("MINNOW_STORAGE", storage)
    assert minnow(f"{resume} 2").code == 0
    monkeypatch.delenv("MINNOW_STORAGE")
    assert minnow(f"{resume} 3 --storage {storage}").code == 0
    assert len(api.Run("new").trials) == 3
    assert sorted(path.name for path in here.glob("*study*")) == ["study.db"]  # no lock is left


@pytest.mark.usefixtures("photos")
def test_no_password_is_written_or_shown(minnow, monkeypatch):
    """Here the database is a file, and the parameter that holds the password is one that SQLite ignores."""
    bare, full = "sqlite:///study.db", "sqlite:///study.db?password=pass-phrase"
    command = "search --data photos --space toy --epochs 1 --out new --trials"
    assert minnow(f"{command} 1 --storage {full}").code == 0
    monkeypatch.setenv("MINNOW_STORAGE", full)
    for given in ("", f"--storage {bare}"):
        assert minnow(f"{command} 1 --resume {given}").code == 0
        for path in Path("new").rglob("*"):
            assert path.is_dir() or b"pass-phrase" not in path.read_bytes(), path
    assert f"storage: {bare}\n" in Path("new/config.yaml").read_text()


def test_what_is_private_stays_private(theirs, minnow):
    (theirs / "config.yaml").chmod(0o600)
    assert minnow("search --resume --out theirs --trials 4").code == 0
    assert stat.S_IMODE((theirs / "config.yaml").stat().st_mode) == 0o600
