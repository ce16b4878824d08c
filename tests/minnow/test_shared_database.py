"""A search whose study is in PostgreSQL, from its first trial to a student, with kills of either side."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

import minnow as api
from nas import outage
from nas.study import Store
from nas.trial import Trial

pytestmark = pytest.mark.system

pytest.importorskip("psycopg")

SEARCH = "search --data photos --space toy --epochs 1 --out one"


@pytest.fixture
def url(here: Path, photos: Path, postgresql, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database, which is in the environment, too; tries to connect again are quick."""
    monkeypatch.setattr(outage, "PAUSES_S", (0.05,))
    monkeypatch.setenv("MINNOW_STORAGE", postgresql.url)
    return postgresql.url


@pytest.fixture
def before_storing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Call a function once, when a trial of this number has been trained and is not yet stored."""
    real = Store.finish

    def arm(number: int, act: Callable[[], None]) -> None:
        def finish(store: Store, trial: Trial) -> None:
            if trial.number == number:
                monkeypatch.setattr(Store, "finish", real)
                act()
            real(store, trial)

        monkeypatch.setattr(Store, "finish", finish)

    return arm


def numbers() -> list[int]:
    return [trial.number for trial in api.Run("one").trials]


def test_from_a_search_to_a_student(url, minnow, postgresql):
    bare = url.replace(f":{postgresql.password}", "")
    notices = minnow(f"{SEARCH} --trials 2 --storage {bare}").notices
    assert minnow("search --resume --out one --trials 3").code == 0
    assert numbers() == [0, 1, 2]
    assert minnow("report one").code == 0
    assert minnow("train --model one --epochs 1 --out alone").code == 0
    assert minnow("distill --student one --teacher alone --epochs 1").code == 0
    seen = optuna.load_study(study_name="one", storage=url)
    assert [trial.state.name for trial in seen.trials] == ["COMPLETE"] * 3
    assert (Path("one") / "student/model.safetensors").exists()
    assert not (Path("one") / "study.journal").exists()
    assert postgresql.password not in " ".join(notices)
    for path in Path("one").rglob("*"):
        assert path.is_dir() or postgresql.password.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_a_killed_server_comes_back(url, minnow, postgresql, before_storing):
    def restart() -> None:
        postgresql.kill()
        threading.Timer(0.5, postgresql.start).start()

    before_storing(1, restart)
    said = minnow(f"{SEARCH} --trials 3 --storage {url}")
    assert said.code == 0 and numbers() == [0, 1, 2]
    told = [line for line in said.notices if line.startswith("warning: storage ")]
    assert len(told) == 2 and " is away (" in told[0] and " is back after " in told[1]
    assert postgresql.password not in " ".join(said.notices)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_killed_server_stays_away(
    url, minnow, postgresql, before_storing, monkeypatch: pytest.MonkeyPatch, number: int
):
    monkeypatch.setattr(outage, "PATIENCE_S", 0.5)
    before_storing(number, postgresql.kill)
    complaint = minnow(f"{SEARCH} --trials 3 --storage {url}").complaint
    assert "stayed away for" in complaint and complaint.endswith("resume the search when it is back")
    assert postgresql.password not in complaint
    for command in ("search --resume --out one", "report one"):
        complaint = minnow(command).complaint
        assert "cannot be opened: connection" in complaint and postgresql.password not in complaint
    postgresql.start()
    said = minnow("search --resume --out one")
    assert said.code == 0 and numbers() == [0, 1, 2]
    assert [line.split(" (")[0] for line in said.notices if line.startswith("trial ")] == [
        f"trial {n}" for n in range(number, 3)
    ]


@pytest.mark.slow  # a driver that is killed is in nas/test_postgresql
def test_a_killed_driver(url, minnow, start):
    driver = start(f"{SEARCH} --trials 50 --storage {url}")
    driver.wait_for("trial 1 ")
    driver.signal(signal.SIGKILL)
    stored = api.Run("one").study
    assert stored.trials and len(stored.unfinished) <= 1
    many = len(stored.trials) + 1
    assert minnow(f"search --resume --out one --trials {many}").code == 0
    after = api.Run("one").study
    assert after.trials[: many - 1] == stored.trials and after.unfinished == []
    assert [trial.number for trial in after.trials] == list(range(many))


def test_no_server_leaves_nothing(here, photos, minnow, postgresql):
    url = postgresql.url.replace("host=", "host=/nowhere")
    complaint = minnow(f"{SEARCH} --trials 1 --storage {url}").complaint
    assert "cannot be opened: connection" in complaint and postgresql.password not in complaint
    assert not Path("one").exists()
