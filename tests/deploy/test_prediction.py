"""Prediction: the logits of evaluation, and tables that every program reads."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

import deploy
from core.errors import UserError
from deploy.classifier import decode
from deploy.prediction import (
    FilePrediction,
    Timing,
    find_images,
    left_out,
    predict_files,
    renamed_in_csv,
    write_csv,
    write_submission,
)
from nas.architecture import Architecture
from training.bundle import save_bundle
from training.data.fitting import Fit
from training.data.images import DataOptions, open_images
from training.data.listing import Remarks
from training.preprocess import prepare

ROOT = Path(__file__).parents[2]
TRASHNET = ROOT.parent / "shared" / "data" / "trashnet"
CLASSES = ("glass", "métal", "paper")
CONFIG = {"normalization": {"mean": [0.5] * 3, "std": [0.5] * 3}, "data": {"size": 40, "fit": "squash"}}


def files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def assert_same_as_evaluation(folder: Path, bundle_dir: Path, cache: Path, size: int, fit: Fit) -> None:
    """Predict every file of a three-class set and compare with the logits of its stored pixels."""
    stored = open_images(str(folder), DataOptions(size=size, fit=fit), cache=cache)
    config = yaml.safe_load((bundle_dir / "config.yaml").read_text())
    config["data"] = {"size": size, "fit": fit}
    (bundle_dir / "config.yaml").write_text(yaml.safe_dump(config))
    (bundle_dir / "checksums.sha256").unlink(missing_ok=True)
    classifier = deploy.load(bundle_dir)
    pixels = torch.from_numpy(np.array(stored.images)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        inputs = prepare(pixels, classifier.resolution, classifier.bundle.normalization)
        expected = classifier.bundle.model(inputs).numpy()
    files = [folder / name for name in stored.files]
    assert len(files) == len(stored.labels) > 5
    for file, image in zip(files, stored.images, strict=True):
        np.testing.assert_array_equal(decode(file, size, fit), image)
    spread = np.ptp(expected, axis=0).max()
    assert spread > 0.1, "the images must not all look alike to the network"
    np.testing.assert_allclose(classifier.logits(files), expected, rtol=0, atol=1e-3 * spread)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_files_get_the_logits_of_evaluation(
    photos: Path, bundle_dir: Path, tmp_path: Path, fit: Fit
) -> None:
    assert_same_as_evaluation(photos, bundle_dir, tmp_path / "cache", 40, fit)


@pytest.mark.skipif(not TRASHNET.is_dir(), reason="../shared/data/trashnet is not there")
def test_real_photos_get_the_logits_of_evaluation(bundle_dir: Path, tmp_path: Path) -> None:
    folders = sorted({file.parent for file in TRASHNET.rglob("*.jpg")})
    for folder in folders[:3]:
        for file in sorted(folder.glob("*.jpg"))[:8]:
            (tmp_path / "set" / folder.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp_path / "set" / folder.name)
    assert_same_as_evaluation(tmp_path / "set", bundle_dir, tmp_path / "cache", 96, "squash")


def test_every_kind_of_image(bundle_dir: Path, photos: Path) -> None:
    classifier = deploy.load(bundle_dir)
    assert classifier.classes == CLASSES and classifier.resolution == 32
    png = next(photos.rglob("*.png"))
    with Image.open(png) as image:
        rgb = image.convert("RGB")
    array = np.asarray(rgb)
    expected = classifier.logits(png)
    assert expected.shape == (1, 3) and expected.dtype == np.float32
    for same in (
        str(png),
        rgb,
        array,
        [png],
        [
            rgb,
        ],
        array[None],
        iter([array]),
    ):
        np.testing.assert_allclose(classifier.logits(same), expected, rtol=1e-5)
    mixed = classifier.predict([png, rgb, array])
    assert len(mixed) == 3 and len({prediction.label for prediction in mixed}) == 1
    grey = np.asarray(rgb.convert("L"))
    np.testing.assert_allclose(
        classifier.logits(grey), classifier.logits(np.stack([grey] * 3, axis=2)), rtol=1e-5
    )
    assert classifier.predict([]) == []


def test_more_images_than_one_batch_come_back_in_order(bundle_dir: Path) -> None:
    classifier = deploy.load(bundle_dir.parent)
    images = np.random.default_rng(0).integers(0, 256, (70, 20, 20, 3), dtype=np.uint8)
    together = classifier.logits(images)
    np.testing.assert_allclose(
        together[[0, 63, 64, 69]],
        np.concatenate([classifier.logits(images[i]) for i in (0, 63, 64, 69)]),
        rtol=1e-4,
        atol=1e-5,
    )


def test_probabilities_are_the_softmax_of_the_logits(bundle_dir: Path, photos: Path) -> None:
    classifier = deploy.load(bundle_dir)
    for file in files_in(photos):
        logits = classifier.logits(file)[0].astype(np.float64)
        expected = np.exp(logits) / np.exp(logits).sum()
        (prediction,) = classifier.predict(file)
        np.testing.assert_allclose(list(prediction.probabilities.values()), expected, rtol=1e-6)
        assert tuple(prediction.probabilities) == CLASSES
        assert prediction.label == CLASSES[int(logits.argmax())]
        assert prediction.probability == prediction.probabilities[prediction.label]


def test_the_callers_image_is_not_touched(bundle_dir: Path, photos: Path) -> None:
    with Image.open(next(photos.rglob("*.jpg"))) as image:
        size = image.size
        deploy.load(bundle_dir).predict(image)
        assert image.size == size


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nowhere.jpg", "nowhere.jpg: no such file"),
        (np.zeros((4, 4, 3), dtype=np.float32), "array of float32"),
        (np.zeros((4, 4, 2), dtype=np.uint8), r"shape \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), dtype=np.uint8), r"shape \(0, 4, 3\)"),
        ([3], "cannot classify int"),
    ],
)
def test_what_is_no_image_is_refused(bundle_dir: Path, image: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        deploy.load(bundle_dir).predict(image)  # type: ignore[arg-type]


def test_bundle_that_does_not_say_how_images_are_stored(bundle_dir: Path) -> None:
    config = yaml.safe_load((bundle_dir / "config.yaml").read_text())
    (bundle_dir / "checksums.sha256").unlink(missing_ok=True)
    for data in (None, {"size": 40}, {"size": 40, "fit": "stretch"}, {"size": 0, "fit": "crop"}):
        (bundle_dir / "config.yaml").write_text(yaml.safe_dump({**config, "data": data}))
        with pytest.raises(UserError, match=r"config\.yaml.*size"):
            deploy.load(bundle_dir)


def test_broken_files_are_rows_and_stop_nothing(bundle_dir: Path, photos: Path, tmp_path: Path) -> None:
    classifier = deploy.load(bundle_dir)
    whole = files_in(photos)
    jpeg = next(file for file in whole if file.suffix == ".jpg")
    (photos / "glass" / "cut.JPG").write_bytes(jpeg.read_bytes()[:300])
    (photos / "glass" / "empty.png").write_bytes(b"")
    (photos / "notes.txt").write_text("not an image")
    (photos / ".hidden.jpg").write_bytes(jpeg.read_bytes())
    rows = list(predict_files(classifier, photos))
    assert [Path(row.file) for row in rows] == sorted(
        [*whole, photos / "glass" / "cut.JPG", photos / "glass" / "empty.png"]
    )
    broken = {Path(row.file).name: row for row in rows if row.error}
    assert set(broken) == {"cut.JPG", "empty.png"}
    assert all(row.label == "" and row.probability is None for row in broken.values())
    assert all("\n" not in row.error for row in broken.values() if row.error)
    for row in rows:
        if row.prediction:
            assert row.prediction == classifier.predict(row.file)[0]
            assert row.seconds > 0

    table = tmp_path / "out" / "predictions.csv"
    write_csv(rows, table)
    with table.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["file", "label", "probability", "error", *(f"p_{c}" for c in CLASSES)]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line["file"] == row.file and line["label"] == row.label
        assert bool(line["error"]) == bool(row.error)
        if row.prediction:
            assert float(line["probability"]) == pytest.approx(row.probability, abs=1e-6)
            total = sum(float(line[f"p_{name}"]) for name in CLASSES)
            assert total == pytest.approx(1.0, abs=1e-5)


def test_one_file_and_nothing(bundle_dir: Path, photos: Path, tmp_path: Path) -> None:
    classifier = deploy.load(bundle_dir)
    file = files_in(photos)[0]
    (row,) = predict_files(classifier, file)
    assert row.file == str(file) and row.label in CLASSES
    (tmp_path / "hollow").mkdir()
    with pytest.raises(UserError, match="no images in it"):
        predict_files(classifier, tmp_path / "hollow")
    with pytest.raises(UserError, match="no such file or directory"):
        predict_files(classifier, tmp_path / "nowhere")


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, deploy; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_submission_has_a_row_for_every_file(bundle_dir: Path, photos: Path, tmp_path: Path) -> None:
    rows = list(predict_files(deploy.load(bundle_dir), photos))
    assert write_submission(rows, tmp_path / "out" / "a.csv", photos) is None
    (photos / "métal" / "cut, short.jpg").write_bytes(b"\xff\xd8 not a photo")
    rows = list(predict_files(deploy.load(bundle_dir), photos))
    counts = Counter(row.label for row in rows if row.prediction)
    guessed = write_submission(rows, tmp_path / "b.csv", photos)
    assert guessed is not None and counts[guessed] == max(counts.values())
    content = (tmp_path / "b.csv").read_bytes()
    assert content.startswith(b"file,class\r\n"), "no mark that a grader would take for a name"
    with (tmp_path / "b.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))[1:]
    assert [line[0] for line in lines] == [f.relative_to(photos).as_posix() for f in files_in(photos)]
    expected = {Path(row.file).relative_to(photos).as_posix(): row.label for row in rows}
    expected["métal/cut, short.jpg"] = guessed
    assert dict(lines) == expected
    assert all(len(line) == 2 for line in lines)


def test_odd_names_are_harmless_readable_and_the_same_in_both_tables(
    tiny: Architecture, network: nn.Module, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Formulas, and a name in Latin-1; what cannot be read is named in the column of errors too."""
    pandas = pytest.importorskip("pandas")
    shutil.rmtree(photos / "glass")
    image = files_in(photos)[0].read_bytes()
    odd = ["=1+1.png", "+a.png", "-b.png", "@c.png", "\tx.png", "=cmd|' calc'!A0.png"]
    for name in [*map(os.fsencode, odd), b"caf\xe9.png"]:
        Path(os.fsdecode(os.path.join(os.fsencode(photos), name))).write_bytes(image)
    (photos / "=broken.png").write_bytes(b"no image")
    names = ("=glass", "métal", "-paper")
    save_bundle(tmp_path / "odd", network, tiny, names, config=CONFIG, metrics={"params": 1})
    monkeypatch.chdir(photos)
    rows = list(predict_files(deploy.load(tmp_path / "odd"), "."))
    write_csv(rows, tmp_path / "out.csv")
    write_submission(rows, tmp_path / "submission.csv", ".")
    out, submission = (
        pandas.read_csv(tmp_path / name, keep_default_na=False) for name in ("out.csv", "submission.csv")
    )
    assert list(out["file"]) == list(submission["file"])
    assert {f"./{name}" for name in (*odd, "=broken.png")} | {"caf\\xe9.png"} <= set(out["file"])
    readable = out["error"] == ""
    assert list(out["label"][readable]) == list(submission["class"][readable])
    assert set(out["label"]) <= {"'=glass", "métal", "'-paper", ""}
    for name in ("out.csv", "submission.csv"):
        with (tmp_path / name).open(encoding="utf-8-sig", newline="") as file:
            assert not [cell for row in csv.reader(file) for cell in row if cell[:1] in set("=+-@\t\r")]
    notice = renamed_in_csv(rows, ".")
    assert notice is not None and "+a.png as ./+a.png" in notice
    assert notice == renamed_in_csv(rows, None)


def test_a_submission_of_one_file(bundle_dir: Path, photos: Path, tmp_path: Path) -> None:
    file = files_in(photos)[0]
    write_submission(predict_files(deploy.load(bundle_dir), file), tmp_path / "a.csv", file)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()[1].startswith(f"{file.name},")


def test_timing_is_of_the_readable_and_its_total_of_all(bundle_dir: Path, photos: Path) -> None:
    (one, *_) = predict_files(deploy.load(bundle_dir), files_in(photos)[0])
    rows = [replace(one, seconds=ms / 1000) for ms in (1, 2, 3, 4, 5)]
    rows.append(FilePrediction("broken.jpg", None, "broken", 7.0))
    timing = Timing.of(rows)
    assert (timing.images, timing.unreadable) == (5, 1)
    assert (timing.median_ms, timing.iqr_ms) == (pytest.approx(3), pytest.approx(2))
    assert timing.total_seconds == pytest.approx(7.015)
    assert "decoding" in timing.included and "PyTorch" in timing.included


def test_what_has_no_row_is_found(photos: Path) -> None:
    (photos / "notes.txt").write_text("")
    (photos / "glass" / "photo").write_text("")
    (photos / ".hidden.txt").write_text("")
    (photos / "glass" / "@eaDir").mkdir()
    (photos / "glass" / "@eaDir" / "thumb.jpg").write_text("")
    remarks = left_out(photos)
    assert remarks.warnings == ("not known as images by their ending (2): glass/photo, notes.txt",)
    (note,) = remarks.notes
    assert ".hidden.txt (1)" in note and "@eaDir (1)" in note
    assert left_out(files_in(photos)[0]) == Remarks()
    assert not [path for path in find_images(photos) if "@eaDir" in path.parts]


def test_what_is_no_regular_file_is_named_and_not_read(bundle_dir: Path, photos: Path) -> None:
    """Each of these would be waited for, or read without end."""
    expected = find_images(photos)
    os.mkfifo(photos / "pipe.png")
    (photos / "glass" / "to-pipe.jpg").symlink_to(photos / "pipe.png")
    (photos / "circle.png").symlink_to("circle.png")
    special = ["circle.png: a link", "glass/to-pipe.jpg: a named pipe", "pipe.png: a named pipe"]
    with suppress(OSError):  # not everybody may
        os.mknod(photos / "zero.png", 0o020600, os.makedev(1, 5))
        (photos / "endless.png").symlink_to("zero.png")
        special += ["endless.png: a device", "zero.png: a device"]
    assert find_images(photos) == expected
    (line,) = left_out(photos).warnings
    assert f"({len(special)})" in line and all(words in line for words in special)
    classifier = deploy.load(bundle_dir)
    assert len(list(predict_files(classifier, photos))) == len(expected)
    with pytest.raises(UserError, match=r"pipe\.png is a named pipe; give an image"):
        find_images(photos / "pipe.png")
    with pytest.raises(UserError, match="a named pipe, not a file"):
        classifier.predict(photos / "pipe.png")
    with pytest.raises(UserError, match="no such file or directory"):
        find_images(photos / "circle.png")


def test_an_image_beyond_the_limit_is_named(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (60, 50)).save(tmp_path / "large.png")
    classifier = deploy.load(bundle_dir)
    assert next(predict_files(classifier, tmp_path)).error is None
    monkeypatch.setenv("MINNOW_MAX_MEGAPIXELS", "0.002")
    (row,) = predict_files(classifier, tmp_path)
    assert row.error is not None and "60 x 50 px, more than 0.002 million pixels" in row.error


def test_linked_folders_are_searched_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "elsewhere/far.png")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos/near.png")
    (tmp_path / "photos/linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "photos/circle").symlink_to(tmp_path / "photos", target_is_directory=True)
    assert [path.name for path in find_images(tmp_path / "photos")] == ["far.png", "near.png"]
