"""The gallery of a student: the right images in the right order, bounded in size, and never in the way."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import DataConfig
from core.errors import UserError
from minnow.report.gallery import gallery_section, ranked
from minnow.report.thumbnails import MAX_SIZE, thumbnails
from training.predictions import Predictions


def decoded(url: str) -> Image.Image:
    head, content = url.split(",", 1)
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_the_order_of_mistakes_and_of_doubt():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.55, 0.45], [0.99, 0.01]])
    labels, predicted = np.array([1, 0, 1, 0, 1]), probabilities.argmax(axis=1)
    table = Predictions(("a", "b"), tuple("vwxyz"), labels, predicted, probabilities)
    mistakes, unsure = ranked(table, most=2)
    assert mistakes.rows == [4, 0] and "2 of 3 mistakes on 5 test images" in mistakes.text
    assert unsure.rows == [3, 1]


def test_thumbnails_are_small_copies(tmp_path: Path, write_images):
    root = write_images(tmp_path, {"a": 3, "b": 3}, (400, 200))
    Image.new("RGB", (30, 20), "red").save(root / "a/000.png")
    urls = thumbnails(DataConfig(spec=str(root)), ["b/001.png", "a/000.png", "no/such.png", "b/001.png"])
    assert list(urls) == ["b/001.png", "a/000.png"]
    assert decoded(urls["b/001.png"]).size == (128, 64)
    assert decoded(urls["a/000.png"]).size == (30, 20), "not enlarged"
    assert np.ptp(np.asarray(decoded(urls["a/000.png"]).convert("RGB")), axis=(0, 1)).max() < 8


def test_the_size_is_bounded(tmp_path: Path, write_images):
    """Noise is what an encoder makes least of."""
    root = write_images(tmp_path, {"a": 30, "b": 30}, (200, 200))
    files = [f"{name}/{index:03d}.png" for name in "ab" for index in range(30)]
    urls = thumbnails(DataConfig(spec=str(root)), files[:48])
    assert len(urls) == 48 and sum(map(len, urls.values())) <= MAX_SIZE < 1_000_000
    few = thumbnails(DataConfig(spec=str(root)), files, most=100_000)
    assert 0 < len(few) < 48 and list(few) == files[: len(few)]
    assert sum(map(len, few.values())) <= 100_000


def test_nothing_is_downloaded(own_cache: Path):
    with pytest.raises(UserError, match="would have to be downloaded"):
        thumbnails(DataConfig(spec="torchvision:CIFAR10"), ["test/000000"])
    assert not list(own_cache.iterdir())


def student(folder: Path, rows: str) -> Path:
    folder.mkdir()
    (folder / "predictions.csv").write_text("file,true,predicted,p_<a>,p_b\n" + rows)
    return folder


def test_a_page_without_its_data_says_so(tmp_path: Path):
    path = student(tmp_path / "student", "a/0.png,<a>,b,0.2,0.8\n")
    section = gallery_section(path, {"spec": str(tmp_path / "gone")})
    assert section is not None and section["groups"] == []
    assert "Images are not shown: no data set" in section["missing"] and "gone" in section["missing"]
    unknown = gallery_section(path, {"spec": "digits", "colour": 1})
    assert unknown is not None and "colour" in unknown["missing"]
    assert gallery_section(tmp_path, {"spec": "digits"}) is None, "a student without predictions"


def test_images_that_were_deleted_are_left_out(tmp_path: Path, write_images):
    root = write_images(tmp_path / "set", {"<a>": 3, "b": 3})
    path = student(tmp_path / "student", "<a>/000.png,<a>,b,0.2,0.8\n<a>/009.png,<a>,b,0.3,0.7\n")
    section = gallery_section(path, {"spec": str(root)})
    assert section is not None and section["missing"] is None
    for _, _, shots in section["groups"]:
        assert [shot.file for shot in shots] == ["<a>/000.png"]
        assert (shots[0].title, shots[0].note) == ("b 0.80", "true: <a> 0.20")
    shutil.rmtree(root / "<a>")
    (root / "<a>").mkdir()
    section = gallery_section(path, {"spec": str(root)})
    assert section is not None and "does not hold the test images" in section["missing"]
