"""Tables of images: the same data set as folders of them, honest splits, and every bad row told."""

from __future__ import annotations

import codecs
import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from core.config import TableConfig
from core.errors import UserError
from training.data.check import check_images
from training.data.image_finder import ImageFinder, NoImageError
from training.data.images import DataOptions, ImageSet, open_images
from training.data.sources import find_source

WriteImages = Callable[..., Path]
Rows = Sequence[Sequence[object]]


def write_csv(path: Path, rows: Rows, separator: str = ",") -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    return str(path)


@pytest.fixture
def photos(tmp_path: Path, write_images: WriteImages) -> Path:
    """30 images of the class "a" and 20 of "b", in folders of these names."""
    return write_images(tmp_path / "photos", {"a": 30, "b": 20})


def rows_of(photos: Path) -> list[list[str]]:
    files = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    return [[file, file.split("/")[0]] for file in files]


def parts_of(images: ImageSet) -> dict[str, str]:
    return {images.files[index]: part for part, of in images.splits.items() for index in of}


def test_a_table_is_the_data_set_of_its_folders(photos: Path) -> None:
    rows = rows_of(photos)
    np.random.default_rng(0).shuffle(rows)
    spec = write_csv(photos / "labels.csv", [["path", "label"], *rows])
    folder, table = open_images(str(photos)), open_images(spec)
    assert table.digest == folder.digest and table.files == folder.files
    assert table.name == "labels" and table.flip
    assert parts_of(table) == parts_of(folder)
    assert table.notes == ("images from column 'path', labels from 'label'",)


@pytest.mark.parametrize(
    "names",
    [
        ("path", "label"),
        ("File_Name", "Class"),
        ("image path", "TARGET"),
        ("filename", "category"),
        ("id", "label"),
    ],
)
def test_columns_by_their_names(photos: Path, names: tuple[str, str]) -> None:
    rows = [
        ["more", names[1], "", names[0]],
        *([i, c, "", f] for i, (f, c) in enumerate(rows_of(photos))),
    ]
    images = open_images(write_csv(photos / "t.csv", rows, ";"))
    assert images.classes == ("a", "b") and len(images.files) == 50


def test_columns_that_are_named(photos: Path) -> None:
    rows = [["label", "what", "where"], *(["x", c, f] for f, c in rows_of(photos))]
    spec = write_csv(photos / "t.csv", rows)
    with pytest.raises(
        UserError, match=r"no column is called path.* 'label', 'what', 'where'.*table.image"
    ):
        open_images(spec)
    options = DataOptions(table=TableConfig(image="Where", label="what"))
    assert open_images(spec, options).classes == ("a", "b")
    with pytest.raises(
        UserError, match=r"no column 'who' for data\.table\.label; there are 'label', 'what'"
    ):
        open_images(spec, DataOptions(table=TableConfig(image="where", label="who")))


def test_other_formats_say_the_same(photos: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    records = [{"file": file, "label": ord(name), "n": {"a": 1}} for file, name in rows_of(photos)]
    (photos / "t.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    parquet.write_table(pyarrow.Table.from_pylist(records), photos / "t.parquet")
    write_csv(photos / "t.csv", [["file", "label"], *([r["file"], r["label"]] for r in records)])
    digests = {open_images(str(photos / f"t{end}")).digest for end in (".jsonl", ".parquet", ".csv")}
    assert len(digests) == 1
    with pytest.raises(UserError, match=r"t.parquet, row 1: column 'n' holds {'a': 1}.*hf:FOLDER"):
        find_source(str(photos / "t.parquet"), TableConfig(label="n")).listing()


def test_whole_numbers_are_classes_in_their_order(photos: Path) -> None:
    rows = [[file, index % 11] for index, (file, _) in enumerate(rows_of(photos))]
    images = open_images(write_csv(photos / "t.csv", [["path", "label"], *rows]))
    assert images.classes == tuple(map(str, range(11)))


def test_numbers_that_are_written_in_several_ways(photos: Path) -> None:
    rows = [[file, ("1", "01", "1.0", "2")[index % 4]] for index, (file, _) in enumerate(rows_of(photos))]
    report = check_images(write_csv(photos / "t.csv", [["path", "label"], *rows]))
    (line,) = [line for line in report.warnings if "differ in" in line]
    assert line.startswith("classes '01' and '1' and '1.0' differ in the way that a number is written")


def test_ids_without_extension_in_the_one_folder_that_holds_them(photos: Path) -> None:
    (photos / "b").rename(photos.parent / "elsewhere")
    rows = [["id", "label"], *([f"{n:03d}", "xy"[n % 2]] for n in range(30))]
    spec = write_csv(photos / "train.csv", rows)
    images = open_images(spec)
    assert images.files[0] == "000.png" and len(images.files) == 30
    assert images.notes[1] == f"image names start from {photos / 'a'}"
    (photos.parent / "elsewhere").rename(photos / "b")
    with pytest.raises(
        UserError, match=r"may be in a/, b/: name the folder, as in --set data.table.folder=a"
    ):
        open_images(spec)
    named = open_images(spec, DataOptions(table=TableConfig(folder="a")))
    assert named.digest == images.digest
    (photos / "a" / "004.jpg").write_bytes((photos / "a" / "004.png").read_bytes())
    report = check_images(spec, DataOptions(table=TableConfig(folder="a")))
    assert any("several files: 004.jpg, 004.png (1): row 6 (004)" in line for line in report.warnings)


def test_absolute_and_windows_paths(photos: Path) -> None:
    folder, rows = open_images(str(photos)), rows_of(photos)
    absolute = write_csv(photos / "t.csv", [["path", "label"], *([photos / f, c] for f, c in rows)])
    windows = write_csv(
        photos / "w.csv", [["path", "label"], *([f.replace("/", "\\"), c] for f, c in rows)]
    )
    assert open_images(absolute).digest == open_images(windows).digest == folder.digest


@pytest.mark.parametrize(
    "elsewhere", ["/home/ann/pets/{}", "C:\\Users\\ann\\pets\\{}", "d:/photos/{}", "/photos/{}"]
)
def test_paths_of_another_machine(photos: Path, tmp_path: Path, elsewhere: str) -> None:
    """What they have in common there is the folder of the table, one in it, or the one that is given."""
    rows = [
        [elsewhere.format(file.replace("/", elsewhere[-3])), label] for file, label in rows_of(photos)
    ]
    digest = open_images(str(photos)).digest
    for place in (photos, tmp_path):
        images = open_images(write_csv(place / "t.csv", [["path", "label"], *rows]))
        assert images.digest == digest and images.files[0] == "a/000.png"
    (tmp_path / "deep/er").mkdir(parents=True)
    photos.rename(tmp_path / "deep/er/photos")
    spec = str(tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"none of its images.*--set data\.table\.folder=DIR"):
        open_images(spec)
    given = DataOptions(table=TableConfig(folder=str(tmp_path / "deep/er/photos")))
    assert open_images(spec, given).digest == digest


def test_names_in_other_letters(photos: Path) -> None:
    """Two files whose names differ in case alone are told apart by the letters that a table has."""
    content = (photos / "a/004.png").read_bytes()
    for name in ("One.png", "one.png", "Two.PNG"):
        (photos / "a" / name).write_bytes(content)
    finder = ImageFinder(photos)
    names = ("a/One", "a/one.png", "a/two", "a/TWO.png", "b/000.PNG")
    found = ["a/One.png", "a/one.png", "a/Two.PNG", "a/Two.PNG", "b/000.png"]
    assert [finder.find(name) for name in names] == found
    with pytest.raises(NoImageError, match=r"several files: One\.png, one\.png"):
        finder.find("a/ONE.png")
    for name, message in (("A/one.png", "no such file"), ("", "no name of a file")):
        with pytest.raises(NoImageError, match=message):
            finder.find(name)


def test_files_as_spreadsheets_and_editors_leave_them(photos: Path) -> None:
    rows = rows_of(photos)
    digest = open_images(write_csv(photos / "t.csv", [["path", "label"], *rows])).digest
    text = (photos / "t.csv").read_text()
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
        mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b""
        (photos / "t.csv").write_bytes(mark + text.replace(",", "\t").encode(encoding))
        assert open_images(str(photos / "t.csv")).digest == digest
    (photos / "t.csv").write_text("sep=|\r\n" + text.replace(",", "|").replace("\n", "\r\n"))
    assert open_images(str(photos / "t.csv")).digest == digest
    (photos / "t.csv").write_text("sep=|\r\npath|label\r\nx|a|b\r\n")
    with pytest.raises(UserError, match="row 3: it has 3 cells"):
        open_images(str(photos / "t.csv"))
    lines = [json.dumps({"path": file, "label": label}) for file, label in rows]
    (photos / "t.jsonl").write_text("\n".join(lines) + "\n\n \n")
    assert open_images(str(photos / "t.jsonl")).digest == digest


def test_splits_of_a_column(photos: Path) -> None:
    words = ("Train", "training", "Validation", "TEST")
    rows = [[f, c, words[i % 4]] for i, (f, c) in enumerate(rows_of(photos))]
    images = open_images(write_csv(photos / "t.csv", [["path", "label", "Split"], *rows]))
    expected = {"Train": "train", "training": "train", "Validation": "val", "TEST": "test"}
    assert parts_of(images) == {file: expected[word] for file, _, word in rows}
    ignored = open_images(str(photos / "t.csv"), DataOptions(table=TableConfig(split="none")))
    assert ignored.digest == open_images(str(photos)).digest


def test_val_is_cut_from_train(photos: Path) -> None:
    rows = [[f, c, ("train", "test")[i % 2]] for i, (f, c) in enumerate(rows_of(photos))]
    images = open_images(write_csv(photos / "t.csv", [["path", "label", "split"], *rows]))
    assert {file for file, part in parts_of(images).items() if part == "test"} == {
        f for f, _, _ in rows[1::2]
    }
    assert len(images.splits["val"]) == 3
    assert "there is no split 'val': some images of split 'train' validate" in images.notes
    rows = [[f, c, ("train", "val")[i % 2]] for i, (f, c) in enumerate(rows_of(photos))]
    images = open_images(write_csv(photos / "t.csv", [["path", "label", "split"], *rows]))
    assert len(images.splits["test"]) == 25
    assert any("split 'val' is what is tested at the end" in note for note in images.notes)


def test_a_split_without_labels_is_left_out(photos: Path) -> None:
    rows = [[f, c, "train"] if i % 2 else [f, "", "test"] for i, (f, c) in enumerate(rows_of(photos))]
    said: list[str] = []
    images = open_images(
        write_csv(photos / "t.csv", [["path", "label", "split"], *rows]), warn=said.append
    )
    assert said == ["splits that are left out, their images have no labels: 'test'"]
    assert images.files == tuple(file for file, label, _ in rows if label)
    assert any("some images of split 'train' validate and others test" in note for note in images.notes)


@pytest.mark.parametrize(
    ("count", "test_fold", "parts"),
    [
        (5, None, {4: "test", 3: "val"}),
        (5, 0, {0: "test", 4: "val"}),
        (5, 2, {2: "test", 1: "val"}),
        (2, None, {1: "test"}),
    ],
)
def test_folds(photos: Path, count: int, test_fold: int | None, parts: dict[int, str]) -> None:
    rows = [[f, c, i % count] for i, (f, c) in enumerate(rows_of(photos))]
    spec = write_csv(photos / "t.csv", [["path", "label", "fold"], *rows])
    images = open_images(spec, DataOptions(table=TableConfig(test_fold=test_fold)))
    decimal = [[f, c, f"{n}.0"] for f, c, n in rows]  # as pandas writes a column with a gap
    again = write_csv(photos / "t.csv", [["path", "label", "fold"], *decimal])
    assert open_images(again, DataOptions(table=TableConfig(test_fold=test_fold))).digest == images.digest
    found = parts_of(images)
    for fold, part in parts.items():
        assert {file for file, p in found.items() if p == part} == {
            f for f, _, n in rows if n == fold
        } or count == 2
    assert {found[f] for f, _, n in rows if n not in parts} == (
        {"train"} if count > 2 else {"train", "val"}
    )
    with pytest.raises(UserError, match=f"test_fold is 7: there are the folds 0, .*{count - 1}"):
        open_images(spec, DataOptions(table=TableConfig(test_fold=7)))


def test_bad_rows_are_told_in_one_line(photos: Path) -> None:
    rows = [[*row, "train"] for row in rows_of(photos)]
    rows[3][0] = "a/gone.png"
    rows[5][1] = " "
    rows[7][2] = "holdback"
    rows += [[*rows[10]], [rows[11][0], "b", "train"], [rows[12][0], "a", "test"]]
    spec = write_csv(photos / "t.csv", [["path", "label", "split"], *rows])
    with pytest.raises(UserError) as caught:
        open_images(spec)
    line = str(caught.value)
    assert "\n" not in line and "5 of 53 rows cannot be used" in line
    for words in (
        "no such file (1): row 5 (a/gone.png)",
        "no label (1): row 7 (a/005.png)",
        "neither train, val or test nor the number of a fold (1): row 9 (holdback)",
        "one image with two labels (1): row 53 (a/011.png, as row 13)",
        "one image in two splits (1): row 54 (a/012.png, as row 14)",
    ):
        assert words in line
    report = check_images(spec)
    assert not report.usable and line.endswith(report.problems[0])
    assert "rows that repeat another one and count once (1): 52" in report.warnings


@pytest.mark.parametrize("lacking", [2, 3])
def test_a_few_lacking_rows_are_left_out_and_many_are_not(photos: Path, lacking: int) -> None:
    """As with broken files, 5 % of the rows: 2 of 50."""
    rows = rows_of(photos)
    for row in rows[:lacking]:
        row[0] = f"missing-{row[0]}"
    spec, said = write_csv(photos / "t.csv", [["path", "label"], *rows]), list[str]()
    if lacking > 2:
        with pytest.raises(UserError, match="3 of 50 rows cannot be used"):
            open_images(spec)
        return
    assert len(open_images(spec, warn=said.append).files) == 48
    assert said == [
        "rows that are left out: no such file (2): row 2 (missing-a/000.png), row 3 (missing-a/001.png)"
    ]


def test_broken_images_and_pipes(photos: Path) -> None:
    rows = rows_of(photos)
    (photos / rows[0][0]).write_bytes(b"no image")
    os.mkfifo(photos / "pipe.png")
    spec = write_csv(photos / "t.csv", [["path", "label"], *rows, ["pipe.png", "a"]])
    images = open_images(spec)
    assert images.broken == ("a/000.png",) and len(images.files) == 49


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no rows"),
        (b"path,label\n", "has no rows"),
        (b"path,label,label\na.png,a,b\n", "two columns 'label'"),
        (b"path\na.png\n", "no column is called label"),
        (b"path,label\nx.png,a,b\n", "row 2: it has 3 cells and the first row 2"),
        (b'path,label\n"x.png,a\n', "line 2: unexpected end of data"),
        (b"path,label\nx\xff.png,a\n", "no text in UTF-8 .*: save it as CSV in UTF-8"),
        (b"path,label\n,a\n", "the column of its images is empty"),
        (b"path,label\nx.png,a\n", "none of its images, such as 'x.png', is found"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        open_images(str(path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_tables_of_other_kinds_that_cannot_be_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "t.jsonl").write_text('{"path": "x"}\n[1]\n')
    for name, message in (
        ("t.parquet", "t.parquet cannot be read"),
        ("t.jsonl", "line 2 is .*expected an object"),
        ("u.csv", "table .*u.csv does not exist"),
        ("u.jsonl", "table .*u.jsonl does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            open_images(str(tmp_path / name))
