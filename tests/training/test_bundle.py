"""A bundle comes back as it was saved, and a damaged one is refused in one line."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from nas.architecture import Architecture, classifier
from nas.layers import Conv
from nas.networks import build
from training.bundle import load_bundle, read_normalization, save_bundle
from training.bundle_files import BUNDLE_FILES, CHECKSUMS_FILE, find_bundle

ROOT = Path(__file__).parents[2]
WRITTEN = {*BUNDLE_FILES, CHECKSUMS_FILE}
CLASSES = ("cat", "naïve dog", "7")
CONFIG = {"seed": 3, "normalization": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}}


def tiny(width: int = 8) -> Architecture:
    return classifier(16, (Conv(width, 3, 2), Conv(width, 3, 1)))


def save(path: Path, *, seed: int = 0, metrics: dict | None = None) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = build(tiny(), 3).eval()
    save_bundle(path, model, tiny(), CLASSES, config=CONFIG, metrics=metrics or {"seed": seed})
    return model


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_bundle(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_weights_may_be_larger_than_other_files(tmp_path: Path, monkeypatch) -> None:
    save(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size > 2_000
    monkeypatch.setattr("training.bundle.RECORD", 2_000)
    load_bundle(tmp_path)


def test_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    model = save(tmp_path / "student", metrics={"test": {"f1": 0.25}})
    bundle = load_bundle(tmp_path / "student")
    assert bundle.architecture == tiny()
    assert bundle.classes == CLASSES
    assert bundle.normalization.mean == (0.5, 0.4, 0.3)
    assert bundle.normalization.std == (0.2, 0.3, 0.4)
    assert bundle.config == CONFIG
    assert bundle.metrics == {"test": {"f1": 0.25}}
    assert not bundle.model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, bundle.model.state_dict()[name]), name
    images = torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(bundle.model(images), model(images))


def test_run_directory_is_as_good_as_its_student(tmp_path: Path) -> None:
    save(tmp_path / "student")
    assert find_bundle(tmp_path) == find_bundle(tmp_path / "student") == tmp_path / "student"


def test_channels_last_weights_are_saved(tmp_path: Path) -> None:
    model = build(tiny(), 3).to(memory_format=torch.channels_last)
    save_bundle(tmp_path, model, tiny(), CLASSES, config=CONFIG, metrics={})
    loaded = load_bundle(tmp_path).model.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())


def test_reading_and_writing_leave_the_random_numbers_alone(tmp_path: Path) -> None:
    model = build(tiny(), 3)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    save_bundle(tmp_path, model, tiny(), CLASSES, config=CONFIG, metrics={})
    load_bundle(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_second_save_replaces_the_first_and_keeps_other_files(tmp_path: Path) -> None:
    save(tmp_path, seed=0)
    (tmp_path / "checkpoint.bin").write_bytes(b"mine")
    model = save(tmp_path, seed=1)
    bundle = load_bundle(tmp_path)
    assert bundle.metrics == {"seed": 1}
    assert torch.equal(bundle.model.state_dict()["head.2.weight"], model.state_dict()["head.2.weight"])
    assert {file.name for file in tmp_path.iterdir()} == {*WRITTEN, "checkpoint.bin"}


def test_other_files_of_the_same_training_come_with_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"table.csv": b"a,b\n"}
    arguments = {"config": CONFIG, "metrics": {}, "others": others}
    moved: list[str] = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        if Path(target).parent == tmp_path:
            moved.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    save_bundle(tmp_path, build(tiny(), 3), tiny(), CLASSES, **arguments)
    assert set(moved) == {*WRITTEN, "table.csv"} and moved[-1] == "model.safetensors"
    assert (tmp_path / "table.csv").read_bytes() == b"a,b\n"


# Forks savers that kill themselves before the first, second, ... change they would make to a
# directory, until one survives; prints how many were killed. One process, so torch loads once.
KILL_AT_EVERY_STEP = """
import os, signal, sys
from pathlib import Path
import torch
import test_bundle

torch.set_num_threads(1)

def lethal(call):
    def wrapper(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapper

for which in ("first", "second"):
    for step in range(1, 100):
        path = Path(sys.argv[1], which, str(step))
        if which == "second":
            test_bundle.save(path, seed=0)
        child = os.fork()
        if child == 0:
            left = step
            os.replace, os.unlink, os.rmdir = map(lethal, (os.replace, os.unlink, os.rmdir))
            test_bundle.save(path, seed=1)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            print(step - 1)
            break
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_save_killed_at_any_step_never_leaves_a_mixture(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILL_AT_EVERY_STEP, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])},
        check=True,
        capture_output=True,
        text=True,
    )
    first, second = map(int, done.stdout.split())
    outcomes = {
        "first": after_kill(tmp_path / "first", first),
        "second": after_kill(tmp_path / "second", second),
    }
    assert first >= 2 * len(WRITTEN), "every file is written, then moved into place"
    assert outcomes == {"first": {"refused", 1}, "second": {0, "refused", 1}}


def after_kill(root: Path, steps: int) -> set[object]:
    """What killed saves left: the seed of a whole bundle, or "refused"; all can be saved over."""
    outcomes: set[object] = set()
    for step in range(1, steps + 1):
        path = root / str(step)
        try:
            bundle = load_bundle(path)
        except UserError:
            outcomes.add("refused")
        else:
            seed, found = bundle.metrics["seed"], bundle.model.state_dict()
            expected = save(root / "expected", seed=seed).state_dict()
            assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
            outcomes.add(seed)
        save(path, seed=2)
        assert load_bundle(path).metrics == {"seed": 2}
        assert {file.name for file in path.iterdir()} == WRITTEN
    return outcomes


def test_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    save(tmp_path, seed=0)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="the disk is full"):
        save(tmp_path, seed=1)
    monkeypatch.undo()
    assert load_bundle(tmp_path).metrics == {"seed": 0}
    assert {file.name for file in tmp_path.iterdir()} == WRITTEN


def test_missing_directory(tmp_path: Path) -> None:
    message = refusal(tmp_path / "nowhere")
    assert "nowhere: no such directory" in message and "train one with distill" in message


def test_a_file_is_not_a_bundle(tmp_path: Path) -> None:
    save(tmp_path)
    assert "is a file" in refusal(tmp_path / "model.safetensors")


def test_search_run_without_a_student_says_how_to_make_one(tmp_path: Path) -> None:
    tiny().to_yaml(tmp_path / "architecture.yaml")
    message = refusal(tmp_path)
    assert "model.safetensors is missing" in message
    assert f"distill, as the student {tmp_path}" in message


@pytest.mark.parametrize("name", BUNDLE_FILES)
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save(tmp_path)
    (tmp_path / name).unlink()
    assert name in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 7, 200, -1])
def test_cut_weights_are_refused(tmp_path: Path, keep: int) -> None:
    save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    message = refusal(tmp_path)
    assert str(weights) in message and "corrupt or cut short" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "a: [1"),
        ("config.yaml", "- 1"),
        ("config.yaml", "seed: 1"),
        ("config.yaml", "normalization: {mean: [0, 0, 0], std: [1, 1]}"),
        ("config.yaml", "normalization: {mean: [0, 0, 0], std: [1, 1, 0]}"),
        ("metrics.json", '{"f1": '),
        ("metrics.json", "[]"),
        ("labels.txt", ""),
        ("labels.txt", "cat\ncat\n7\n"),
        ("architecture.yaml", "backbone: 3"),
    ],
)
def test_damaged_text_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    save(tmp_path)
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert str(tmp_path / name) in refusal(tmp_path)


def test_text_that_is_no_text_is_named(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    assert "labels.txt" in refusal(tmp_path)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save(tmp_path)
    tiny(width=16).to_yaml(tmp_path / "architecture.yaml", num_classes=3)
    message = refusal(tmp_path)
    assert "model.safetensors does not fit" in message and "architecture.yaml" in message


@pytest.mark.parametrize("labels", ["cat\ndog\n", "cat\ndog\n7\n8\n"])
def test_label_count_that_differs_from_the_head_is_refused(tmp_path: Path, labels: str) -> None:
    save(tmp_path)
    (tmp_path / "labels.txt").write_text(labels, encoding="utf-8")
    message = refusal(tmp_path)
    assert "labels.txt" in message and "3" in message and "architecture.yaml" not in message


def test_model_that_is_not_the_architecture_is_never_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the one the architecture describes"):
        save_bundle(tmp_path, build(tiny(16), 3), tiny(8), CLASSES, config=CONFIG, metrics={})
    with pytest.raises(ValueError, match="normalization"):
        save_bundle(tmp_path, build(tiny(), 3), tiny(), CLASSES, config={}, metrics={})
    with pytest.raises(UserError, match="rename"):
        save_bundle(tmp_path, build(tiny(), 2), tiny(), ("a", "b\nc"), config=CONFIG, metrics={})
    assert list(tmp_path.iterdir()) == []


def test_labels_survive_a_windows_editor(tmp_path: Path) -> None:
    save(tmp_path)
    labels = tmp_path / "labels.txt"
    labels.write_bytes(labels.read_bytes().replace(b"\n", b"\r\n"))
    assert load_bundle(tmp_path).classes == CLASSES


def test_bundle_can_be_moved(tmp_path: Path) -> None:
    save(tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert load_bundle(tmp_path / "b").metrics == {"seed": 0}
    assert json.loads((tmp_path / "b" / "metrics.json").read_text()) == {"seed": 0}


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "labels.txt", "architecture.yaml", "config.yaml"])
def test_no_flipped_bit_passes(tmp_path: Path, name: str) -> None:
    save(tmp_path / "whole")
    size = (tmp_path / "whole" / name).stat().st_size
    for position in {0, size // 3, size // 2, size - 2}:
        path = tmp_path / str(position)
        shutil.copytree(tmp_path / "whole", path)
        flip(path / name, position)
        message = refusal(path)
        assert str(path / name) in message or name in message


@pytest.mark.parametrize(
    ("name", "old", "new"), [("labels.txt", "cat", "bat"), ("config.yaml", "0.5", "0.7")]
)
def test_a_plausible_change_says_what_to_restore(tmp_path: Path, name: str, old: str, new: str) -> None:
    save(tmp_path)
    path = tmp_path / name
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    message = refusal(tmp_path)
    assert message.startswith(f"{path} is damaged: it is not the file that was written")
    assert "restore it from a copy or train the student again" in message
    sums = tmp_path / CHECKSUMS_FILE
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if name not in line))
    load_bundle(tmp_path)  # changed on purpose


def test_a_bundle_without_checksums_is_read(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / CHECKSUMS_FILE).unlink()
    assert load_bundle(tmp_path).classes == CLASSES


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_checksums_are_those_of_another_program(tmp_path: Path) -> None:
    save(tmp_path)
    command = ["sha256sum", "--check", "--strict", CHECKSUMS_FILE]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.count(": OK") == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    model = build(tiny(), 3)
    with torch.no_grad():
        model.get_parameter("head.2.weight")[0, 0] = value
    save_bundle(tmp_path, model, tiny(), CLASSES, config=CONFIG, metrics={})
    message = refusal(tmp_path)
    assert "model.safetensors is damaged: 'head.2.weight' holds NaN or infinite numbers" in message


@pytest.mark.parametrize("value", [".nan", ".inf", "1.0e+400", "-.inf"])
@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_normalization_that_is_none_is_refused(tmp_path: Path, name: str, value: str) -> None:
    save(tmp_path)
    content = {"mean": "[0, 0, 0]", "std": "[1, 1, 1]", name: f"[1, {value}, 1]"}
    (tmp_path / "config.yaml").write_text(
        f"normalization: {{mean: {content['mean']}, std: {content['std']}}}"
    )
    assert "config.yaml" in refusal(tmp_path)
    with pytest.raises(ValueError, match="finite"):
        read_normalization(
            {
                "normalization": {
                    "mean": [0, 0, 0],
                    "std": [1, 1, 1],
                    name: [1, float(value.replace(".nan", "nan").replace(".inf", "inf")), 1],
                }
            }
        )


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read anything")
def test_weights_that_may_not_be_read_are_not_called_corrupt(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "model.safetensors").chmod(0)
    message = refusal(tmp_path)
    assert "cannot be read: Permission denied" in message and "corrupt" not in message
