"""The files of an export: what is listed, what was changed, and cards that people edited."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from core.errors import UserError
from minnow import exported_files as module
from minnow.exported_files import CARD, LIST, NEW_CARD, exported_files, leave_card


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / "labels.txt").write_text("a\nb\n")
    (tmp_path / "photo-notes.txt").write_text("mine")
    return tmp_path


def export(folder: Path, card: str = "# card\n") -> str | None:
    return leave_card(folder, ["model.onnx", "labels.txt"], card)


def test_what_was_written_is_listed_and_read_back(folder: Path) -> None:
    assert export(folder) is None
    assert exported_files(folder) == {CARD: b"# card\n", "labels.txt": b"a\nb\n", "model.onnx": b"model"}
    assert next(iter(exported_files(folder))) == CARD
    subprocess.run(
        ["sha256sum", "--check", "--strict", LIST], cwd=folder, check=True, capture_output=True
    )


def test_a_second_export_replaces_its_own_card(folder: Path) -> None:
    export(folder)
    assert export(folder, "# newer\n") is None
    assert (folder / CARD).read_text() == "# newer\n"
    assert not (folder / NEW_CARD).exists()


@pytest.mark.parametrize("before", ["edited", "foreign"])
def test_a_card_of_people_stays(folder: Path, before: str) -> None:
    if before == "edited":
        export(folder)
    (folder / CARD).write_text("mine\n")
    for card in ("# newer\n", "# newest\n"):
        warning = export(folder, card)
        assert warning is not None and "was edited and stays" in warning and NEW_CARD in warning
        assert (folder / CARD).read_text() == "mine\n"
        assert (folder / NEW_CARD).read_text() == card
    assert exported_files(folder)[CARD] == b"mine\n"
    (folder / CARD).unlink()
    assert export(folder, "# last\n") is None
    assert (folder / CARD).read_text() == "# last\n" and not (folder / NEW_CARD).exists()


def test_what_changed_is_refused(folder: Path) -> None:
    export(folder)
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(UserError, match=r"model\.onnx was changed since its export"):
        exported_files(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(UserError, match=r"model\.onnx is missing"):
        exported_files(folder)


def test_links_lead_nowhere(folder: Path) -> None:
    export(folder)
    (folder / "secret").write_bytes(b"model")  # even with the same content
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(folder / "secret")
    with pytest.raises(UserError, match="no regular file"):
        exported_files(folder)


def test_images_are_refused_whatever_the_list_says(folder: Path) -> None:
    export(folder)
    (folder / "photo.JPG").write_bytes(b"jpeg")
    digest = hashlib.sha256(b"jpeg").hexdigest()
    with open(folder / LIST, "a") as file:
        file.write(f"{digest}  photo.JPG\n")
    with pytest.raises(UserError, match="is an image"):
        exported_files(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", ".env", "a/b", ""])
def test_names_of_other_places_are_refused(folder: Path, name: str) -> None:
    export(folder)
    with open(folder / LIST, "a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(UserError, match="is damaged at"):
        exported_files(folder)


def test_a_file_that_is_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(folder)
    monkeypatch.setattr(module, "_LARGEST", 4)
    with pytest.raises(UserError, match="too large to upload"):
        exported_files(folder)


def test_a_folder_without_an_export(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no export with a model card"):
        exported_files(tmp_path)
