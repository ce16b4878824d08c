"""``--seeds`` trains several students and keeps one; ``compare`` tells students apart."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from pathlib import Path

import pytest
from sklearn.metrics import f1_score


def metrics(student: Path) -> dict:
    return json.loads((student / "metrics.json").read_text())


def table_f1(student: Path) -> float:
    """Macro-F1 of the table of predictions, as someone else would compute it."""
    with (student / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    return f1_score([r["true"] for r in rows], [r["predicted"] for r in rows], average="macro")


@pytest.fixture(scope="module")
def many(finished, tmp_path_factory) -> Path:
    """Three students of one epoch."""
    import cli

    folder = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MINNOW_CACHE", str(finished / "cache"))
        patch.setattr("sys.argv", ["cli.py"])
        command = f"train --model {finished}/runs/found --epochs 1 --seeds 3 --out many"
        with pytest.raises(SystemExit) as ended:
            cli.main(command.split())
        assert ended.value.code == 0
    return folder / "many"


@pytest.fixture
def copied(many, here) -> Path:
    return Path(shutil.copytree(many, here / "many"))


def places(run: Path) -> dict[int, Path]:
    found = [run / "student", *(path for path in (run / "seeds").iterdir() if path.is_dir())]
    return dict(sorted((metrics(path)["seed"], path) for path in found))


def test_every_seed_is_there_and_the_kept_one_knows_them(many):
    students = {seed: metrics(path) for seed, path in places(many).items()}
    assert list(students) == [0, 1, 2]
    vals = [one["val"]["f1"] for one in students.values()]
    kept = metrics(many / "student")
    assert kept["val"]["f1"] == max(vals)
    tests = [one["test"]["f1"] for one in students.values()]
    assert kept["seeds"]["test_f1_mean"] == pytest.approx(statistics.mean(tests))
    assert kept["seeds"]["test_f1_sd"] == pytest.approx(statistics.stdev(tests))
    assert [one["seed"] for one in kept["seeds"]["students"]] == [0, 1, 2]
    assert len({path.read_bytes() for path in many.rglob("model.safetensors")}) == 3
    for path in places(many).values():
        assert metrics(path)["test"]["f1"] == pytest.approx(table_f1(path))


def test_the_seed_alone_gives_the_same_student(finished, many):
    """``runs/alone`` is the training of seed 0."""
    alone, one = metrics(finished / "runs/alone/student"), metrics(places(many)[0])
    for name in ("test", "val", "identity", "test_pixels"):
        assert alone[name] == one[name]


def test_more_seeds_go_on_from_those_that_are_finished(copied, finished, minnow):
    command = f"train --model {finished}/runs/found --epochs 1 --out many"
    for options in ("--seeds 3", "--seeds 2", ""):
        assert "is finished" in minnow(f"{command} --resume {options}").complaint
        assert "exists already" in minnow(f"{command} {options}").complaint
    said = minnow(f"{command} --seeds 4 --resume")
    assert said.code == 0 and list(places(copied)) == [0, 1, 2, 3]
    assert [line for line in said.notices if "is finished" in line] == [
        f"seed {seed} ({seed + 1} of 4) is finished" for seed in range(3)
    ]
    assert "(mean ± sd of 4 seeds)" in said.output and "95 % interval" in said.output


def test_a_student_trained_alone_counts_as_a_seed(here, finished, minnow):
    shutil.copytree(finished / "runs/alone", here / "alone")
    command = f"train --model {finished}/runs/found --out alone --seeds 2 --resume --epochs"
    before = (here / "alone/student/metrics.json").read_bytes()
    assert "another network, data set, recipe" in minnow(f"{command} 2").complaint
    assert (here / "alone/student/metrics.json").read_bytes() == before
    assert minnow(f"{command} 1").code == 0
    assert list(places(here / "alone")) == [0, 1]


def test_an_unfinished_single_training_is_not_mixed_in(here, finished, minnow):
    (here / "new/student").mkdir(parents=True)
    (here / "new/student/checkpoint.pt").write_bytes(b"half")
    command = f"train --model {finished}/runs/found --epochs 1 --out new --seeds 2"
    for options in ("", "--resume"):
        assert "first with one seed" in minnow(f"{command} {options}").complaint


def test_compare_says_how_sure_the_difference_is(many, finished, minnow, here):
    alone = finished / "runs/alone"
    said = json.loads(minnow("compare", str(alone), str(many), "--json").output)
    kept = metrics(many / "student")["seeds"]
    assert said["images"] == 359 and said["a"]["seeds"] == [0] and said["b"]["seeds"] == [0, 1, 2]
    assert said["a"]["value"] == pytest.approx(table_f1(alone / "student"))
    assert said["b"]["value"] == pytest.approx(kept["test_f1_mean"])
    assert (said["a"]["sd"], said["b"]["sd"]) == (None, pytest.approx(kept["test_f1_sd"]))
    assert said["difference"]["value"] == pytest.approx(said["b"]["value"] - said["a"]["value"])
    table = minnow("compare", str(alone), str(many)).output
    assert "B - A" in table and f"{said['difference']['value']:+.3f}" in table


def test_compare_takes_one_seed_or_a_run_with_itself(many, minnow, here):
    said = json.loads(minnow("compare", str(many / "student"), str(places(many)[0]), "--json").output)
    assert [len(said[side]["seeds"]) for side in "ab"] == [1, 1]
    same = json.loads(minnow("compare", str(many), str(many), "--json").output)
    assert same["p"] == 1 and set(same["difference"].values()) == {0}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\n3/0003,3,", "\n3/0003,4,", "3/0003 is of class 3 and of class 4"),
        ("\n3/0003,", "\n3/9999,", "3/0003 is in only one"),
        ("p_8,p_9", "p_8,p_nine", "the classes are"),
        (None, None, "359 and 358 images"),
    ],
)
def test_other_test_images_are_refused(copied, finished, minnow, old, new, words):
    path = copied / "student/predictions.csv"
    (copied / "student/checksums.sha256").unlink()
    text = path.read_text()
    text = text[: text.rstrip().rindex("\n") + 1] if old is None else text.replace(old, new)
    if new is not None and "nine" in new:
        text = text.replace(",9,", ",nine,").replace(",9,", ",nine,")
    path.write_text(text)
    complaint = minnow("compare", str(finished / "runs/alone"), "many/student").complaint
    assert "were tested on different images" in complaint and words in complaint


def test_the_same_names_with_other_pixels_are_refused(copied, finished, minnow):
    """Unless they were stored in another size: then pixels say nothing."""
    path = copied / "student/metrics.json"
    path.write_text(json.dumps({**metrics(copied / "student"), "test_pixels": "other"}))
    command = ("compare", str(finished / "runs/alone"), "many/student")
    assert "other content" in minnow(*command).complaint
    config = copied / "student/config.yaml"
    (copied / "student/checksums.sha256").unlink()
    config.write_text(config.read_text().replace("size: 32", "size: 64"))
    assert minnow(*command).code == 0


def test_missing_predictions_say_what_to_do(copied, minnow):
    (copied / "student/predictions.csv").unlink()
    assert "predictions.csv does not exist" in minnow("compare many many/student").complaint


@pytest.mark.system
def test_workers_train_the_same_students(many, here, finished, minnow):
    """Two at a time, each in a process of its own; the latency is measured once, for all."""
    said = minnow(f"train --model {finished}/runs/found --epochs 1 --seeds 3 --workers 2 --out two")
    assert said.code == 0, said
    students = [*(here / "two/seeds").glob("[0-9]*"), here / "two/student"]
    assert len(students) == 3
    known = {
        metrics(path)["seed"]: metrics(path)
        for path in [*(many / "seeds").glob("[0-9]*"), many / "student"]
    }
    for student in students:
        ours = metrics(student)
        assert ours["val"]["f1"] == pytest.approx(known[ours["seed"]]["val"]["f1"], abs=1e-6)
        assert ours["latency_ms"] == metrics(here / "two/student")["latency_ms"]
        assert ours["latency_ms"]["median"] > 0
    again = minnow(
        f"train --model {finished}/runs/found --epochs 1 --seeds 3 --workers 2 --out two --resume"
    )
    assert "is finished" in again.complaint
