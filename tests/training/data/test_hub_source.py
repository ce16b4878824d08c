"""Data sets of the library ``datasets``, offline: saved ones, Parquet, image folders, WebDataset shards."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.config import TableConfig
from core.errors import UserError
from training.data.check import check_images
from training.data.images import DataOptions, open_images
from training.data.sources import find_source

datasets = pytest.importorskip("datasets")

WriteImages = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_cache(own_cache: Path) -> None:
    pass


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    rng = np.random.default_rng(seed)
    return [Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)) for _ in range(count)]


def dataset(count: int = 20, seed: int = 0, **columns: Any) -> Any:
    """Images, a label of the classes "dog" and "cat", and other columns."""
    features = {
        "picture": datasets.Image(),
        "label": datasets.ClassLabel(names=["dog", "cat"]),
        **{name: datasets.Value("string") for name in columns},
    }
    rows = {"picture": pictures(count, seed), "label": [0, 1] * (count // 2), **columns}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def test_a_saved_data_set(tmp_path: Path) -> None:
    whole = dataset(20)
    whole.save_to_disk(tmp_path / "pets")
    images = open_images(f"hf:{tmp_path / 'pets'}")
    assert images.name == "pets" and images.classes == ("dog", "cat")
    assert images.labels.tolist() == [0, 1] * 10 and images.images.shape == (20, 32, 32, 3)
    for stored, picture in zip(images.images, pictures(20), strict=True):
        assert np.array_equal(stored, np.asarray(picture))
    assert images.notes == ("images from column 'picture', labels from 'label'",)
    again = open_images(f"hf:{tmp_path / 'pets'}")
    assert again.digest == images.digest
    dataset(20, seed=1).save_to_disk(tmp_path / "others")
    assert open_images(f"hf:{tmp_path / 'others'}").digest != images.digest


def test_columns_that_hold_no_images_are_not_taken_for_them(tmp_path: Path) -> None:
    """Known names come first among the columns that can hold images, and one of bytes needs no name."""
    shots = []
    for picture in pictures(20):
        file = io.BytesIO()
        picture.save(file, "PNG")
        shots.append(file.getvalue())
    ids, label = list(range(20)), [0, 1] * 10
    for name, columns in {
        "bytes": {"id": ids, "content": shots, "label": label},
        "numbers": {"id": ids, "label": label},
        "nothing": {"number": ids, "label": label},
    }.items():
        (tmp_path / name).mkdir()
        datasets.Dataset.from_dict(columns).to_parquet(tmp_path / name / "t.parquet")
    images = open_images(f"hf:{tmp_path / 'bytes'}")
    assert len(images.files) == 20
    assert images.notes == ("images from column 'content', labels from 'label'",)
    with pytest.raises(UserError, match=r"numbers: column 'id' holds int64, expected images"):
        open_images(f"hf:{tmp_path / 'numbers'}")
    with pytest.raises(UserError, match=r"nothing: no column is called .*'number', 'label'"):
        open_images(f"hf:{tmp_path / 'nothing'}")
    with pytest.raises(UserError, match=r"column 'id' holds int64"):
        open_images(f"hf:{tmp_path / 'bytes'}", DataOptions(table=TableConfig(image="id")))
    with pytest.raises(UserError, match=r"t.parquet is a file: give the folder"):
        open_images(f"hf:{tmp_path / 'bytes/t.parquet'}")


def test_named_splits_are_used(tmp_path: Path) -> None:
    parts = {
        "train": dataset(16),
        "validation": dataset(6, 1),
        "test": dataset(8, 2),
        "extra": dataset(4, 3),
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "pets")
    said: list[str] = []
    images = open_images(f"hf:{tmp_path / 'pets'}", warn=said.append)
    assert {part: len(of) for part, of in images.splits.items()} == {"train": 16, "val": 6, "test": 8}
    assert {images.files[index].split("/")[0] for index in images.splits["val"]} == {"validation"}
    assert said == ["splits that are left out, none of train, val and test: 'extra'"]
    report = check_images(f"hf:{tmp_path / 'pets'}")
    assert report.usable and report.own_splits and report.counts["test"] == (4, 4)


def test_a_split_without_labels_is_left_out(tmp_path: Path) -> None:
    hidden = dataset(8, 1).map(lambda row: {**row, "label": -1})
    datasets.DatasetDict({"train": dataset(20), "test": hidden}).save_to_disk(tmp_path / "pets")
    said: list[str] = []
    images = open_images(f"hf:{tmp_path / 'pets'}", warn=said.append)
    assert len(images.files) == 20 and len(images.splits["test"]) == 4
    assert said == ["splits that are left out, their images have no labels: 'test'"]


def test_a_folder_of_parquet_files(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    for name, part in (("train", dataset(16)), ("test", dataset(8, 1))):
        part.to_parquet(tmp_path / "pets" / f"{name}-00000-of-00001.parquet")
    images = open_images(f"hf:{tmp_path / 'pets'}")
    assert {part: len(of) for part, of in images.splits.items()} == {"train": 14, "val": 2, "test": 8}
    assert np.array_equal(images.images[3], np.asarray(pictures(16)[3]))


def test_an_image_folder_is_read_as_minnow_reads_it(tmp_path: Path, write_images: WriteImages) -> None:
    root = write_images(tmp_path / "pets", {"cat": 10, "dog": 14})
    folder, images = open_images(str(root)), open_images(f"hf:{root}")
    assert images.classes == folder.classes
    assert tuple(file.removeprefix("train/") for file in images.files) == folder.files
    assert np.array_equal(images.images, folder.images) and np.array_equal(images.labels, folder.labels)


def test_shards_of_webdataset(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "train-0000.tar", "w") as shard:
        for index, picture in enumerate(pictures(20)):
            png = io.BytesIO()
            picture.save(png, "PNG")
            for ending, content in (("png", png.getvalue()), ("cls", str(index % 2).encode())):
                entry = tarfile.TarInfo(f"{index:04d}.{ending}")
                entry.size = len(content)
                shard.addfile(entry, io.BytesIO(content))
    images = open_images(f"hf:{tmp_path / 'shards'}")
    assert images.classes == ("0", "1") and images.labels.tolist() == [0, 1] * 10
    assert np.array_equal(images.images[5], np.asarray(pictures(20)[5]))


def test_columns_that_are_named_and_groups(tmp_path: Path) -> None:
    texts = [f"object {index // 2}" for index in range(20)]
    whole = dataset(20, other=texts, species=["newt", "eft"] * 10)
    whole.save_to_disk(tmp_path / "pets")
    options = DataOptions(group_by="other", table=TableConfig(label="species"))
    images = open_images(f"hf:{tmp_path / 'pets'}", options)
    assert images.classes == ("eft", "newt")
    for index in range(0, 20, 2):
        assert sum({index, index + 1} <= set(of.tolist()) for of in images.splits.values()) == 1
    with pytest.raises(UserError, match=r"no column 'kind' for data\.table\.label; there are 'picture'"):
        open_images(f"hf:{tmp_path / 'pets'}", DataOptions(table=TableConfig(label="kind")))


def test_a_broken_image_is_left_out(tmp_path: Path) -> None:
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.Value("string")}
    )
    rows = [
        {"image": {"bytes": _png(p), "path": None}, "label": "ab"[i % 2]}
        for i, p in enumerate(pictures(40))
    ]
    rows[5]["image"] = {"bytes": b"no image", "path": None}
    rows[6]["image"] = None
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "set")
    images = open_images(f"hf:{tmp_path / 'set'}")
    assert images.broken == ("all/000005", "all/000006")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf:./nowhere", "there is no such folder"),
        ("hf:", "there is no such folder"),
        ("hf:some/data", "there is no such folder, and http://127.0.0.1:9 cannot be reached: connect"),
    ],
)
def test_what_is_not_there(spec: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=message):
        open_images(spec)


def test_a_folder_of_something_else(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loader.py").write_text("raise SystemExit('run')")
    with pytest.raises(UserError, match="cannot be opened") as caught:
        find_source(f"hf:{tmp_path}").listing()
    assert "\n" not in str(caught.value)
    said = capfd.readouterr()
    assert said.out == said.err == ""


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()
