"""``predict`` over a folder: the submission, the table beside it, and the time."""

from __future__ import annotations

import csv
import json
import os

from PIL import Image


def test_a_submission_and_its_timing(there, minnow, tmp_path):
    (tmp_path / "test/a").mkdir(parents=True)
    for index in range(4):
        Image.new("L", (20, 30), 60 * index).save(tmp_path / f"test/a/{index}.png")
    (tmp_path / "test/bad.jpg").write_bytes(b"\xff\xd8 not a photo")
    (tmp_path / "test/notes.txt").write_text("not an image")
    said = minnow(
        f"predict runs/alone {tmp_path}/test --submission {tmp_path}/s.csv --timing {tmp_path}/t.json "
        f"--out {tmp_path}/all.csv"
    )
    assert said.code == 0 and said.output == ""
    rows = list(csv.reader((tmp_path / "s.csv").open(encoding="utf-8", newline="")))
    assert rows[0] == ["file", "class"]
    assert [row[0] for row in rows[1:]] == [*(f"a/{index}.png" for index in range(4)), "bad.jpg"]
    full = list(csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8", newline="")))
    assert [row[1] for row in rows[1:5]] == [row["label"] for row in full[:4]]
    assert full[4]["error"] and not full[4]["label"]
    assert any("unreadable" in line and rows[5][1] in line for line in said.notices)
    assert any("notes.txt" in line and "without a row" in line for line in said.notices)
    timing = json.loads((tmp_path / "t.json").read_text())
    assert timing["images"] == 4 and timing["unreadable"] == 1
    assert timing["total_seconds"] > 4 * 0.5 * timing["median_ms"] / 1000 > 0
    (line,) = [line for line in said.notices if line.startswith("per image")]
    assert f"{timing['median_ms']:.2f} ms median" in line and "decoding" in line


def test_names_that_are_written_otherwise_are_said(there, minnow, tmp_path):
    (tmp_path / "test").mkdir()
    for name in (b"=1+1.png", b"caf\xe9.png", b"plain.png"):
        Image.new("L", (20, 30)).save(tmp_path / "test" / os.fsdecode(name))
    tables = f"--out {tmp_path}/all.csv --submission {tmp_path}/s.csv"
    said = minnow(f"predict runs/alone {tmp_path}/test {tables}")
    assert said.code == 0
    (of_out,) = [line for line in said.notices if f"in {tmp_path}/all.csv, names" in line]
    assert of_out.endswith("caf\ufffd.png as " + f"{tmp_path}/test/caf\\xe9.png")
    (of_both,) = [line for line in said.notices if f"in {tmp_path}/s.csv, names" in line]
    assert of_both.endswith("=1+1.png as ./=1+1.png, caf\ufffd.png as caf\\xe9.png")
    full = list(csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8", newline="")))
    rows = list(csv.DictReader((tmp_path / "s.csv").open(encoding="utf-8", newline="")))
    assert [row["file"] for row in rows] == ["./=1+1.png", "caf\\xe9.png", "plain.png"]
    assert [row["file"] for row in full] == [
        f"{tmp_path}/test/{name}" for name in ("=1+1.png", "caf\\xe9.png", "plain.png")
    ]
    said = minnow(f"predict runs/alone {tmp_path}/test/plain.png {tables}")
    assert not [line for line in said.notices if "otherwise" in line]


def test_latency_of_a_search_whose_student_was_interrupted(there, minnow, tmp_path):
    """Only a checkpoint lies there: the search's network is timed, as if there were no student."""
    import shutil

    shutil.copytree(there / "runs/found", tmp_path / "found")
    (tmp_path / "found/student").mkdir()
    (tmp_path / "found/student/checkpoint.pt").write_bytes(b"half of a training")
    said = minnow(f"latency {tmp_path}/found")
    assert said.code == 0 and "10 classes" in said.output and "trial" in said.output
