"""Storages: opened to read without a change, locked per study, and errors without passwords."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from core.errors import UserError
from nas.storage import Place, locked_study, open_storage, open_to_read

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db", study_name="there")
    return tmp_path / "study.db"


def test_reading_neither_creates_nor_changes_a_database(tmp_path: Path, database: Path) -> None:
    before = database.read_bytes(), sorted(os.listdir(tmp_path))
    storage = open_to_read(tmp_path / "study.journal", f"sqlite:///{database}")
    assert [study.study_name for study in storage.get_all_studies()] == ["there"]
    with pytest.raises(optuna.exceptions.StorageInternalError):
        optuna.create_study(storage=storage, study_name="another")
    with pytest.raises(UserError, match="no such file"):
        open_to_read(tmp_path / "study.journal", f"sqlite:///{tmp_path}/missing.db")
    assert (database.read_bytes(), sorted(os.listdir(tmp_path))) == before


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_only_a_regular_file_is_read_as_a_database(tmp_path: Path, make) -> None:
    make(tmp_path / "odd.db")
    with pytest.raises(UserError, match="no such file"):
        open_to_read(tmp_path / "study.journal", f"sqlite:///{tmp_path}/odd.db")
    assert not stat.S_ISREG((tmp_path / "odd.db").stat().st_mode)


def test_another_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_text("no database at all, but long enough to be looked at closely")
    with pytest.raises(UserError, match="cannot be opened"):
        open_to_read(tmp_path / "study.journal", f"sqlite:///{tmp_path}/odd.db")


_HOLDER = """
import sys
from nas.storage import locked_study
with locked_study(sys.argv[1], "study"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["sqlite", "server"])
def test_a_study_is_held_whatever_the_run_directory_and_released_by_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    url = f"sqlite:///{tmp_path}/study.db" if kind == "sqlite" else "mysql://me:secret@db/x"
    command = [sys.executable, "-c", _HOLDER, url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match="in use by another process") as error,
            locked_study(url, "study"),
        ):
            raise AssertionError
        assert "secret" not in str(error.value)
        with locked_study(url, "another study"):
            pass
        holder.send_signal(signal.SIGKILL)
    with locked_study(url, "study"):
        pass


_CREATOR = """
import sys
from pathlib import Path
import optuna
from nas.storage import open_storage
print("ready", flush=True)
sys.stdin.read()
storage = open_storage(Path("study.journal"), sys.argv[1])
optuna.create_study(storage=storage, study_name=sys.argv[2])
"""


def test_processes_that_create_one_database_wait_for_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    creators = [
        subprocess.Popen([sys.executable, "-c", _CREATOR, url, f"s{n}"], cwd=ROOT, text=True, **pipes)
        for n in range(4)
    ]
    for creator in creators:
        assert creator.stdout.readline() == "ready\n"
    for creator in creators:
        creator.stdin.close()
    for creator in creators:
        assert creator.wait() == 0, creator.stderr.read()
        creator.stdout.close()
        creator.stderr.close()
    assert sorted(optuna.get_all_study_names(url)) == ["s0", "s1", "s2", "s3"]


@pytest.mark.parametrize(
    "url",
    [
        "foo://me:pass-phrase@db/x",
        "mysql://me:pass-phrase@nowhere/x",
        "postgresql+nodriver://me:pass-phrase@db/x",
        "redis://:pass-phrase@db/0",
        "postgresql://me:pass-phrase@db:port/x",
        "sqlite:////no/such/place.db?password=pass-phrase",
    ],
)
def test_no_message_about_a_storage_holds_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    for opened in (open_storage, open_to_read):
        with pytest.raises(UserError) as error:
            opened(tmp_path / "study.journal", url)
        assert "pass-phrase" not in str(error.value) and "***" in str(error.value)
        assert "\n" not in str(error.value)


def test_errors_of_a_storage_name_its_place(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    with (
        pytest.raises(UserError, match=f"cannot write {journal}: the disk is full"),
        Place(journal).errors(),
    ):
        raise OSError(28, "No space left on device")
    place = Place(journal, "postgresql://me:secret@db/x")
    said = "storage 'postgresql://me:[*]{3}@db/x' cannot be used"
    with pytest.raises(UserError, match=said) as error, place.errors():
        raise optuna.exceptions.StorageInternalError("lost postgresql://me:secret@db/x")
    assert "secret" not in str(error.value)
    with pytest.raises(ZeroDivisionError), place.errors():
        raise ZeroDivisionError
