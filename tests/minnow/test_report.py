"""``report.html`` says what the run's files say, whatever is in them, and never costs a result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minnow.run_directory
from core.errors import UserError
from minnow.report.decisions import shared_options
from minnow.report.rendering import render
from minnow.report.run_page import run_page
from nas.study import StudyRecord, open_study
from nas.trial import Execution, Trial


class Page(HTMLParser):
    """Tables by id as rows of (text, number), plain text, and all tags with their attributes."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[tuple[str, float | None]]]] = {}
        self.chosen: dict[str, list[int]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._table, self._cell, self._silent = "", False, False
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        self._silent = tag in ("script", "style")
        if tag == "table":
            self._table = given["id"]
            self.tables[self._table] = []
        if tag == "tr":
            if given.get("class") == "chosen":
                self.chosen.setdefault(self._table, []).append(len(self.tables[self._table]))
            self.tables[self._table].append([])
        if tag in ("td", "th"):
            self._cell = True
            value = given.get("data-value")
            self.tables[self._table][-1].append(("", None if value is None else float(value)))

    def handle_endtag(self, tag):
        self._silent = False
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, content):
        if self._silent:
            return
        self.text += content
        if self._cell:
            row = self.tables[self._table][-1]
            row[-1] = (row[-1][0] + content, row[-1][1])

    def column(self, table: str, head: str) -> list[float | None]:
        heads, *rows = self.tables[table]
        index = [text for text, _ in heads].index(head)
        return [row[index][1] for row in rows]


@pytest.fixture
def found(here, finished) -> Path:
    return Path(shutil.copytree(finished / "runs/found", here / "found"))


@pytest.fixture
def alone(here, finished) -> Path:
    return Path(shutil.copytree(finished / "runs/alone", here / "alone"))


@pytest.fixture
def edit_study(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let every study that is read differ in ``trials``, ``options`` or ``facts``, as functions of it."""

    def edit(**changes: Callable[[StudyRecord], Any]) -> None:
        def changed(*place: Any) -> StudyRecord:
            record = open_study(*place)
            return replace(record, **{name: change(record) for name, change in changes.items()})

        monkeypatch.setattr(minnow.run_directory, "open_study", changed)

    return edit


def failed(trial: Trial, error: str) -> Trial:
    return trial.proposal.fail(error)


def edit(path: Path, change) -> dict:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return content


def test_the_numbers_of_a_search_are_those_of_its_summary(finished):
    """As the search itself left it."""
    run = finished / "runs/found"
    page = Page((run / "report.html").read_text())
    summary = json.loads((run / "summary.json").read_text())
    trials = summary["trials"]
    assert page.column("trials", "trial") == [trial["number"] for trial in trials]
    for head, name in (
        ("val F1", "f1"),
        ("params", "params"),
        ("MACs", "macs"),
        ("latency", "latency_ms"),
    ):
        assert page.column("trials", head) == [trial["metrics"][name] for trial in trials]
    assert page.column("front", "trial") == summary["front"]
    assert page.column("front", "val F1") == [trials[n]["metrics"]["f1"] for n in summary["front"]]
    assert page.tables["front"][page.chosen["front"][0]][0][1] == summary["best"]
    assert [page.tables["trials"][row][0][1] for row in page.chosen["trials"]] == [summary["best"]]
    settings = {row[0][0]: row[1][0] for row in page.tables["settings"][1:]}
    assert settings["data"].startswith("digits") and settings["objectives"] == "f1, macs"
    assert settings["images"] == "1,259 train, 179 val, 359 test"
    assert "torch" in settings["versions"]
    assert "distill --teacher tf_efficientnet_lite0 --student runs/found" in page.text


def test_the_numbers_of_a_student_are_those_of_its_metrics(finished):
    page = Page((finished / "runs/alone/report.html").read_text())
    metrics = json.loads((finished / "runs/alone/student/metrics.json").read_text())
    assert page.column("scores", "test F1") == [metrics["test"]["f1"]]
    assert page.column("scores", "latency (IQR)") == [metrics["latency_ms"]["median"]]
    assert page.column("classes", "student") == metrics["test"]["per_class_f1"]
    rows = [[value for _, value in row[1:]] for row in page.tables["confusion"][1:]]
    assert rows == metrics["test"]["confusion"]
    assert "export runs/alone" in page.text and "trials" not in page.tables


def test_a_teacher_is_set_against_its_student(alone):
    def change(metrics):
        latency = metrics["latency_ms"]
        teacher = {**metrics["test"], "name": "big & strong", "val_f1": 0.5, "seconds": 9.0}
        images = [sum(row) for row in metrics["test"]["confusion"]]
        teacher |= {
            **dict.fromkeys(["f1", "accuracy", "balanced_accuracy"], 1.0),
            "per_class_f1": [1.0] * len(images),
            "confusion": np.diag(images).tolist(),
        }
        teacher |= {"params": 10, "macs": 20, "latency_ms": latency}
        metrics["teacher"] = teacher
        metrics["seeds"] = {
            "test_f1_mean": 0.5,
            "test_f1_sd": 0.25,
            "students": [{"seed": 3, "val_f1": 0.1, "test_f1": 0.2}],
        }

    metrics = edit(alone / "student/metrics.json", change)
    page = Page(run_page(alone))
    assert page.column("scores", "test F1") == [1.0, metrics["test"]["f1"]]
    assert page.column("classes", "teacher") == metrics["teacher"]["per_class_f1"]
    differences = [f1 - 1 for f1 in metrics["test"]["per_class_f1"]]
    assert page.column("classes", "difference") == pytest.approx(differences)
    assert page.column("seeds", "test F1") == [0.2]
    assert "the teacher big & strong" in page.text


def test_it_needs_no_network(finished):
    for name in ("found", "alone"):
        tags = Page((finished / "runs" / name / "report.html").read_text()).tags
        assert not [tag for tag, _ in tags if tag in ("link", "iframe", "base", "object")]
        assert not [given for _, given in tags if {"href", "srcset"} & set(given)]
        sources = [given["src"] for _, given in tags if "src" in given]
        assert all(str(source).startswith("data:image/webp;base64,") for source in sources)
        assert len(sources) == (48 if name == "alone" else 0)


NASTY = ["<b>bold</b>", "a & b", "</script><script>x()</script>", "\"'><i onmouseover=x()>", "%{x}"]


def test_what_users_name_is_text(here, found, alone, edit_study):
    """Class names, data sets, errors, choices, run directories: none of them makes a tag."""
    plain = [{tag for tag, _ in Page(run_page(run)).tags} for run in (found, alone)]
    scripts = [sum(tag == "script" for tag, _ in Page(run_page(run)).tags) for run in (found, alone)]
    names = NASTY + [f"class {n}" for n in range(5)]
    (alone / "student/labels.txt").write_text("".join(f"{name}\n" for name in names))
    (alone / "student/checksums.sha256").unlink()

    edit_study(
        facts=lambda study: {**study.facts, "classes": names},
        trials=lambda study: [failed(study.trials[0], NASTY[2]), *study.trials[1:]],
        options=lambda study: {n: {**own, NASTY[0]: NASTY[3]} for n, own in study.options.items()},
    )
    config = (found / "config.yaml").read_text().replace("spec: digits", f"spec: {json.dumps(NASTY[2])}")
    (found / "config.yaml").write_text(config)
    for run, known, count in zip((found, alone), plain, scripts, strict=True):
        moved = run.rename(here / "<u>&amp;")
        page = Page(run_page(moved))
        assert {tag for tag, _ in page.tags} == known
        assert sum(tag == "script" for tag, _ in page.tags) == count
        assert not any(name.startswith("on") for _, given in page.tags for name in given)
        for name in names if run == alone else [", ".join(names), NASTY[2], NASTY[3]]:
            assert name in page.text
        assert "Minnow: <u>&amp;" in page.text
        moved.rename(run)


def test_a_run_without_trials(found):
    (found / "study.journal").unlink()
    page = Page(run_page(found))
    assert "No trial has ended yet" in page.text and "search --resume --out" in page.text
    assert set(page.tables) == {"settings"} and "distill" not in page.text


@pytest.mark.parametrize("succeeded", [True, False])
def test_where_and_when_trials_ran(found, edit_study, succeeded):
    assert 'id="timeline"' not in run_page(found)  # all in one place
    start = 1_700_000_000.0

    def spread(study):
        ran = [Execution(f"node{n % 2}", start + 60 * n, start + 60 * n + 90) for n in range(3)]
        trials = (
            study.trials if succeeded else [failed(trial, "the loss is nan") for trial in study.trials]
        )
        return [trial.ran(execution) for trial, execution in zip(trials, ran, strict=True)]

    edit_study(trials=spread)
    page = run_page(found)
    assert 'id="timeline"' in page and "plotly.js v" in page
    assert "node0" in page and "node1" in page


def test_every_trial_failed(found, edit_study):
    edit_study(trials=lambda study: [failed(trial, "the loss is nan") for trial in study.trials])
    page = Page(run_page(found))
    assert "every trial failed" in page.text
    assert "3 of 3 failed: the loss is nan (3 times)" in page.text
    assert len(page.tables["trials"]) == 4 and "front" not in page.tables


def test_no_trial_within_the_limits(found):
    config = (found / "config.yaml").read_text().replace("limits: []", "limits: ['params<=1']")
    (found / "config.yaml").write_text(config)
    page = Page(run_page(found))
    assert "no trial meets every limit" in page.text and page.text.count("beyond params<=1") == 3


@pytest.mark.parametrize("goals", ["[f1]", "[f1, macs, latency_ms]", "[latency_ms]"])
def test_one_trial_of_any_goals(found, goals, edit_study):
    edit_study(trials=lambda study: study.trials[:1])
    summary = json.loads((found / "summary.json").read_text())
    (found / "summary.json").unlink()  # it lists more trials
    config = (found / "config.yaml").read_text()
    (found / "config.yaml").write_text(
        config.replace("- f1\n- macs", f"{goals}").replace("objectives:\n[", "objectives: [")
    )
    page = Page(run_page(found))
    assert page.column("front", "trial") == [0]
    assert page.column("front", "val F1") == [summary["trials"][0]["metrics"]["f1"]]


def test_a_password_in_the_storage_stays_out(found, monkeypatch):
    def without_database(journal, url, name):
        assert "pass-phrase" in url
        return open_study(journal, None, name)

    config = (found / "config.yaml").read_text()
    (found / "config.yaml").write_text(
        config.replace("storage: null", "storage: postgresql://me:pass-phrase@db/x")
    )
    with pytest.raises(UserError, match=r"postgresql://me:[*]{3}@db/x, .* set MINNOW_STORAGE"):
        run_page(found)
    monkeypatch.setenv("MINNOW_STORAGE", "postgresql://me:pass-phrase@db/x")
    with pytest.raises(UserError, match="postgresql://me:") as error:
        run_page(found)  # there is no such database
    assert "pass-phrase" not in str(error.value)
    monkeypatch.setattr(minnow.run_directory, "open_study", without_database)
    assert "pass-phrase" not in run_page(found)


def test_the_command(here, found, minnow):
    (found / "report.html").unlink()
    said = minnow("report found")
    assert said.code == 0 and said.notices[-1] == "wrote found/report.html"
    assert (found / "report.html").read_text() == run_page(Path("found"))
    assert minnow("report found --out pages/new.html").code == 0
    assert (here / "pages/new.html").exists()


def test_the_page_of_a_student_by_itself(found, alone):
    shutil.copytree(alone / "student", found / "student")
    assert "trials" not in Page(run_page(found / "student")).tables
    both = Page(run_page(found)).tables
    assert {"trials", "scores", "confusion"} <= set(both)


def test_a_defect_costs_a_warning_and_nothing_else(here, minnow, monkeypatch):
    def broken(run, storage=None):
        raise ZeroDivisionError("a <bug>")

    monkeypatch.setattr("minnow.report.run_page.run_page", broken)
    said = minnow("search --space toy --trials 1 --epochs 1 --out new")
    assert said.code == 0 and (here / "new/summary.json").exists()
    assert not (here / "new/report.html").exists()
    (warning,) = [line for line in said.notices if "report.html" in line]
    assert warning.startswith("warning: ") and "ZeroDivisionError: a <bug>" in warning
    assert warning.endswith("report new")
    with pytest.raises(ZeroDivisionError):
        minnow("report new")


def test_what_the_best_networks_share():
    """Eight networks, the best three of which have kernel 5; of many widths only some are named."""
    ranked = [{"stage1.kernel": 5 if n < 3 else 3, "width": n, "se": True} for n in range(8)]
    page = Page(render("decisions.html.jinja", shared=shared_options(ranked, ranked[0])))
    assert "kernel" + "3" + "0 / 5" + "5" + "3 / 3" in page.text
    assert "yes" + "3 / 8" in page.text and "2 others" + "0 / 2" in page.text
    framed = [given for _, given in page.tags if given.get("class") == "option chosen"]
    assert len(framed) == 3
    assert shared_options(ranked[:2], None) is None


def test_a_search_that_was_killed_is_reported_from_its_study(found):
    """Nothing is read from what a search writes at its end."""
    whole = run_page(found)
    (found / "summary.json").unlink()
    (found / "architecture.yaml").unlink()
    assert run_page(found) == whole
