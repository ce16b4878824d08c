"""Maps of categories: both directions, what is left out, what ships."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from training.data.coco.annotations import read_coco
from training.data.coco.categories import OWN_NAMES, check_folders, load_map, parse_map

ROOT = Path(__file__).parents[4]


def test_both_directions_and_the_rest() -> None:
    classes = parse_map({"Metal": ["can", "tin"], "cup": "Paper", "shoe": None, "Other": ["*"]})
    names = ("can", "tin", "cup", "shoe", "new")
    assert [classes.class_of(name) for name in names] == ["Metal", "Metal", "Paper", None, "Other"]
    assert parse_map({"*": "*", "can": "Metal"}).class_of("new") == "new"
    assert parse_map({"can": "Metal"}).class_of("new") is None
    assert OWN_NAMES.class_of("new") == "new"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected lines like"),
        ([1], "expected lines like"),
        ({"A": ["can"], "B": ["can"]}, "category 'can' is in 'A' and in 'B'"),
        ({False: ["can"]}, "False is not a text"),
        ({"A": [3]}, "put them into quotes"),
        ({"A": 3}, "a class or a list"),
        ({"can": "*"}, "stands alone"),
    ],
)
def test_no_map(content: object, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("*", r"\*")):
        parse_map(content)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("Metal: [can]\n")
    assert load_map(str(tmp_path / "map.yaml")).class_of("can") == "Metal"
    (tmp_path / "broken.yaml").write_text("a: [\n")
    with pytest.raises(UserError, match=r"broken\.yaml cannot be read"):
        load_map(str(tmp_path / "broken.yaml"))
    with pytest.raises(UserError, match=r"no map 'taco7'.*taco6"):
        load_map("taco7")


def test_a_mistyped_category_is_noticed() -> None:
    assert parse_map({"Metal": ["Drink Can"]}).unknown(["Drink can", "Cup"]) == [
        "no category 'Drink Can'; did you mean 'Drink can'?"
    ]


def test_folder_names() -> None:
    check_folders(["Plastic bag & wrapper", "종이"])
    for name in ("a/b", "..", ".hidden", "a\\b", "a\nb", " ", "x" * 300):
        with pytest.raises(UserError, match="another name in the map"):
            check_folders([name])


def test_taco6_knows_every_category_of_taco(taco: Path) -> None:
    coco, classes = read_coco(taco), load_map("taco6")
    assert classes.unknown(coco.categories) == []
    of = {name: classes.class_of(name) for name in coco.categories}
    assert set(of.values()) == {"Metal", "Paper", "Paperpack", "Plastic", "Plasticbag", "Styrofoam", None}
    expected = {
        "Drink can": "Metal",
        "Paper cup": "Paperpack",
        "Foam cup": "Styrofoam",
        "Cigarette": None,
    }
    assert {name: of[name] for name in expected} == expected


def test_an_installed_package_has_the_maps(tmp_path: Path) -> None:
    build = ["egg_info", "--egg-base", str(tmp_path), "build_py", "--build-lib", str(tmp_path / "lib")]
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "--quiet", *build]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    shipped = "training/data/coco/maps/taco6.yaml"
    assert (tmp_path / "lib" / shipped).read_bytes() == (ROOT / shipped).read_bytes()
