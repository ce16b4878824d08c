"""Checkpoints: whole or not there, and only for the training that made them."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from training.state import load_checkpoint, save_checkpoint

STATE = {"identity": "mine", "weights": torch.arange(1000.0), "history": [{"loss": 0.5}]}


def complaint(path: Path, identity: str = "mine") -> str:
    with pytest.raises(UserError) as error:
        load_checkpoint(path, identity)
    text = str(error.value)
    assert "\n" not in text and str(path) in text
    return text


def test_what_was_saved_comes_back(tmp_path):
    path = tmp_path / "new" / "checkpoint.pt"
    assert load_checkpoint(path, "mine") is None
    save_checkpoint(path, STATE)
    state = load_checkpoint(path, "mine")
    assert torch.equal(state["weights"], STATE["weights"])
    assert state["history"] == STATE["history"]
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_foreign_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    text = complaint(path, "yours")
    assert "another" in text and "another directory" in text


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path, kept):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    assert "damaged" in complaint(path) and "delete it" in complaint(path)


@pytest.mark.parametrize(
    "content",
    [b"hello\nworld\n" * 50, b"\x80\x04}.", b"PK\x03\x04" + bytes(200)],
    ids=["text", "pickle", "zip"],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    assert "damaged" in complaint(path)


@pytest.mark.parametrize("content", [{"weights": torch.zeros(2)}, [1, 2], torch.zeros(3)])
def test_a_torch_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    assert str(path) in complaint(path)


def test_changed_bytes_never_become_weights(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    content = bytearray(path.read_bytes())
    where = content.index(STATE["weights"].numpy().tobytes()[400:440])
    content[where : where + 8] = b"\xff" * 8
    path.write_bytes(content)
    assert "damaged" in complaint(path)


def test_a_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    path = tmp_path / "checkpoint.pt"
    torch.save({"identity": "mine", "weights": Evil()}, path)
    assert "damaged" in complaint(path)
    assert not (tmp_path / "executed").exists()


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, together):
    """A limit on the size of files stands for a disk that fills up while writing."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)

    def write(_: object) -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with pytest.raises(UserError) as error:
            save_checkpoint(path, {"identity": "mine", "w": torch.zeros(100_000)})
        return str(error.value)

    (said,) = together(write, 1)
    assert "\n" not in said and str(path) in said
    assert torch.equal(load_checkpoint(path, "mine")["weights"], STATE["weights"])
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
