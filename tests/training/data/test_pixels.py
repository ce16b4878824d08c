"""The cache survives kills, races, damage and full disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core.cache import cache_dir
from core.cached_records import file_crc32
from core.errors import UserError
from training.data.images import DataOptions, open_images
from training.data.pixels import require_space

WriteImages = Callable[..., Path]
BIG = DataOptions(size=512)


def _open_code(root: Path, before: str = "", progress: str = "None") -> list[str]:
    code = (
        "from training.data.images import DataOptions, open_images\n"
        f"{before}\n"
        f"images = open_images({str(root)!r}, DataOptions(size=512), progress={progress})\n"
        "print(images.digest, int(images.images.astype('int64').sum()))\n"
    )
    return [sys.executable, "-c", code]


def _entries(cache: Path) -> list[Path]:
    return sorted((cache / "images").glob("[!.]*"))


def test_the_second_open_reads_no_image(
    tmp_path: Path, write_images: WriteImages, own_cache: Path
) -> None:
    root = write_images(tmp_path, {"a": 5, "b": 5})
    for path in root.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    first: list[tuple[int, int]] = []
    before = open_images(str(root), progress=lambda done, total: first.append((done, total)))
    assert first == [(done, 10) for done in range(1, 11)]
    again: list[tuple[int, int]] = []
    after = open_images(str(root), progress=lambda done, total: again.append((done, total)))
    assert again == [] and after.digest == before.digest
    assert np.array_equal(after.images, before.images)
    assert len(_entries(own_cache)) == 2


def test_index_remembers_digests(
    tmp_path: Path,
    write_images: WriteImages,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.data.fingerprint._FRESH_NS", 0)  # believe files written just now
    root = write_images(tmp_path, {"a": 5, "b": 5})
    digest = open_images(str(root)).digest
    (index,) = (own_cache / "index").iterdir()
    record = json.loads(index.read_bytes())
    assert len(record["files"]) == 10
    # The remembered digest is what is used: with a false one, the content key changes.
    record["files"]["a/000.png"][1] = "0" * 32
    del record["checksum"]
    index.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"a/000\.png changed while it was being read"):
        open_images(str(root))
    assert open_images(str(root)).digest == digest  # the false one is forgotten
    for damage in (b"", b"{", b"[]", b'{"version": 1, "files": {"a/000.png": 3}}'):
        index.write_bytes(damage)
        assert open_images(str(root)).digest == digest


def test_a_damaged_entry_is_rebuilt(tmp_path: Path, write_images: WriteImages, own_cache: Path) -> None:
    root = write_images(tmp_path, {"a": 5, "b": 5})
    expected = np.array(open_images(str(root)).images)
    description, pixels = _entries(own_cache)
    assert (description.suffix, pixels.suffix) == (".json", ".u8")
    original = description.read_bytes()

    def damages() -> list[Callable[[], object]]:
        return [
            lambda: pixels.write_bytes(pixels.read_bytes()[:-1]),
            lambda: pixels.write_bytes(b""),
            pixels.unlink,
            description.unlink,
            lambda: description.write_bytes(original[: len(original) // 2]),
            lambda: description.write_bytes(b"null"),
            lambda: description.write_bytes(original.replace(b'"count": 10', b'"count": 9')),
        ]

    for damage in damages():
        damage()
        assert np.array_equal(open_images(str(root)).images, expected)


def test_killed_while_decoding(tmp_path: Path, write_images: WriteImages, own_cache: Path) -> None:
    root = write_images(tmp_path, {"a": 20, "b": 20})
    before = "import sys, time"
    pause = "lambda done, total: (print(done, flush=True), time.sleep(600) if done == 15 else None)"
    child = subprocess.Popen(_open_code(root, before, pause), stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == "15":
            break
    (left,) = (own_cache / "images").iterdir()
    assert left.suffix == ".partial"
    assert [path.stat().st_size > 0 for path in left.glob("*.u8")] == [True]
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    assert _entries(own_cache) == []

    open_images(str(root), DataOptions(size=32))  # the next writer here, of whatever entry, cleans up
    assert not left.exists()
    assert len(open_images(str(root), BIG).images) == 40


def test_two_processes_at_once(tmp_path: Path, write_images: WriteImages, own_cache: Path) -> None:
    root = write_images(tmp_path, {"a": 20, "b": 20})
    children = [subprocess.Popen(_open_code(root), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert len(set(outputs)) == 1
    assert len(_entries(own_cache)) == 2
    assert not list(own_cache.rglob("*.partial"))


def test_full_disk(tmp_path: Path, write_images: WriteImages, own_cache: Path) -> None:
    """A file-size limit stands in for a full disk: write() fails in the same way."""
    root = write_images(tmp_path, {"a": 20, "b": 20})
    before = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))"
    child = subprocess.run(_open_code(root, before), capture_output=True, text=True, check=False)
    last = child.stderr.strip().splitlines()[-1]
    assert last.startswith("core.errors.UserError: no space left for the cache"), child.stderr
    assert "MINNOW_CACHE" in last
    assert _entries(own_cache) == [] and not list(own_cache.rglob("*.partial"))


def test_too_little_space_is_known_beforehand(tmp_path: Path) -> None:
    require_space(tmp_path, 0)
    with pytest.raises(UserError, match="need 1,000,000,000,000 MB"):
        require_space(tmp_path, 10**18)


def test_what_a_killed_decode_left_is_removed_before_the_space_is_measured(
    tmp_path: Path, write_images: WriteImages, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_images(tmp_path, {"a": 5, "b": 5})
    left = own_cache / "images/.older.abcdefgh.partial"
    left.mkdir(parents=True)
    (left / "older").write_bytes(bytes(1000))

    def usage(_: Path) -> SimpleNamespace:
        return SimpleNamespace(free=0 if left.exists() else 10**9)

    monkeypatch.setattr("training.data.pixels.shutil.disk_usage", usage)
    assert len(open_images(str(root)).images) == 10 and not left.exists()


def test_unusable_cache(
    tmp_path: Path, write_images: WriteImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_images(tmp_path / "set", {"a": 5, "b": 5})
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be used.*MINNOW_CACHE"):
        open_images(str(root))


def test_others_may_read_the_cache(tmp_path: Path, write_images: WriteImages, own_cache: Path) -> None:
    open_images(str(write_images(tmp_path, {"a": 5, "b": 5})))
    assert {path.stat().st_mode & 0o777 for path in _entries(own_cache)} == {0o644}


def test_an_error_of_the_caller_is_not_blamed_on_the_cache(
    tmp_path: Path, write_images: WriteImages
) -> None:
    root = write_images(tmp_path, {"a": 5, "b": 5})

    def closed(done: int, total: int) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        open_images(str(root), progress=closed)


def test_cache_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_CACHE", "/somewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_dir() == Path("/somewhere")
    monkeypatch.delenv("MINNOW_CACHE")
    assert cache_dir() == Path("/xdg/minnow")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_dir() == Path("/home/somebody/.cache/minnow")


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_flipped_bit_of_the_pixels_is_made_good(
    tmp_path: Path,
    write_images: WriteImages,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    fresh: bool,
) -> None:
    if not fresh:
        monkeypatch.setattr(
            "training.data.fingerprint._FRESH_NS", 0
        )  # as if nothing was written just now
    root = write_images(tmp_path, {"a": 5, "b": 5})
    expected = np.array(open_images(str(root)).images)
    open_images(str(root))
    _, pixels = _entries(own_cache)
    for position in (0, expected.size // 2, expected.size - 1):
        _flip(pixels, position)
        assert np.array_equal(open_images(str(root)).images, expected)


def test_flipped_bits_of_the_description_are_made_good(
    tmp_path: Path, write_images: WriteImages, own_cache: Path
) -> None:
    root = write_images(tmp_path, {"a": 5, "b": 5})
    expected = open_images(str(root))
    description, _ = _entries(own_cache)
    whole = description.read_bytes()
    for old, new in (
        (b'"labels": [0', b'"labels": [1'),  # another class
        (b'"a/000.png"', b'"a/100.png"'),
        (b'"classes": ["a"', b'"classes": ["c"'),
    ):
        assert old in whole
        description.write_bytes(whole.replace(old, new, 1))
        again = open_images(str(root))
        assert (again.classes, again.files) == (expected.classes, expected.files)
        assert np.array_equal(again.labels, expected.labels)


def test_pixels_are_compared_once_and_not_on_every_start(
    tmp_path: Path, write_images: WriteImages, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.fingerprint._FRESH_NS", 0)
    compared: list[Path] = []

    def counted(path: Path) -> int:
        compared.append(path)
        return file_crc32(path)

    monkeypatch.setattr("training.data.pixels.file_crc32", counted)
    root = write_images(tmp_path, {"a": 5, "b": 5})
    open_images(str(root))
    assert len(compared) == 1
    for _ in range(3):
        open_images(str(root))
    assert len(compared) == 1
    _, pixels = _entries(own_cache)
    os.utime(pixels)  # copied to another machine, for instance
    open_images(str(root))
    assert len(compared) == 2


def test_a_cache_that_cannot_be_written_is_read(
    tmp_path: Path, write_images: WriteImages, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_images(tmp_path, {"a": 5, "b": 5})
    expected = np.array(open_images(str(root)).images)

    def read_only(path: Path, content: object) -> None:
        raise UserError("the disk is read-only")

    monkeypatch.setattr("training.data.fingerprint._FRESH_NS", 0)
    monkeypatch.setattr("training.data.pixels.write_cached", read_only)
    monkeypatch.setattr("training.data.fingerprint.write_cached", lambda path, content: None)
    assert np.array_equal(open_images(str(root)).images, expected)
