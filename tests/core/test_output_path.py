"""Output replaces files and the targets of links, goes through devices and pipes, and spares all else."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from core.errors import UserError
from core.files import staged_folder, write_bytes
from core.output_path import check_file, check_folder, check_free


def node(path: Path, kind: int, major: int, minor: int) -> Path:
    """A device of this test's own; only root makes one, and not everywhere."""
    try:
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
        path.read_bytes() if kind == stat.S_IFCHR else None
    except OSError:
        pytest.skip("no device can be made here")
    return path


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("far/target")
    (tmp_path / "chain").symlink_to("link")
    write_bytes(tmp_path / "chain", b"new")
    assert (tmp_path / "far/target").read_bytes() == b"new"
    assert os.readlink(tmp_path / "chain") == "link" and os.readlink(tmp_path / "link") == "far/target"
    assert sorted(os.listdir(tmp_path)) == ["chain", "far", "link"]
    assert os.listdir(tmp_path / "far") == ["target"]


def test_a_link_to_nothing_is_filled(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o600)
    write_bytes(tmp_path / "file", b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_device_is_written_through_and_stays(tmp_path: Path) -> None:
    path = node(tmp_path / "null", stat.S_IFCHR, 1, 3)
    (tmp_path / "link").symlink_to("null")
    for place in (path, tmp_path / "link"):
        write_bytes(place, b"new")
        assert stat.S_ISCHR(path.stat().st_mode)
    assert (tmp_path / "link").is_symlink()


def test_a_disk_is_refused(tmp_path: Path) -> None:
    path = node(tmp_path / "disk", stat.S_IFBLK, 7, 250)  # a loop device without a file
    with pytest.raises(UserError, match="is no file but a device"):
        write_bytes(path, b"new")
    assert stat.S_ISBLK(path.stat().st_mode)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(UserError, match="is no file but a device or a socket"):
            write_bytes(Path("socket"), b"new")
        assert stat.S_ISSOCK(os.stat("socket").st_mode)


def test_a_pipe_is_written_through_to_its_reader(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="nobody reads the pipe"):
        write_bytes(pipe, b"lost")
    content = bytes(range(256)) * 2_000  # more than a pipe holds
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    while True:
        try:
            write_bytes(pipe, content)
            break
        except UserError:  # the reader is not there yet
            continue
    reader.join()
    assert received == [content]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_has_no_name_is_written_through(tmp_path: Path) -> None:
    """As /dev/stdout is, where a pipe or a deleted file is behind it."""
    with (tmp_path / "file").open("wb+") as file:
        (tmp_path / "file").unlink()
        write_bytes(Path(f"/proc/self/fd/{file.fileno()}"), b"new")
        assert file.read() == b"new"
    assert os.listdir(tmp_path) == []


def test_places_that_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name, shown in (("folder", "folder"), (".", "."), ("", "."), ("/", "/")):
        with pytest.raises(UserError, match=f"'{shown}' is a directory"):
            write_bytes(Path(name), b"new")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="loop cannot be written"):
        check_file(Path("loop"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="a part of this path is a file"):
        write_bytes(Path("file/below"), b"new")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "loop"]


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_places_that_are_no_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for refuse in (check_folder, check_free, lambda path: staged_folder(path).__enter__()):
        with pytest.raises(UserError, match="is no place of its own"):
            refuse(Path(name))
    assert os.listdir(tmp_path) == []


def test_a_folder_is_not_made_of_something_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("missing")
    for name in ("pipe", "link"):
        with pytest.raises(UserError, match="is a file"):
            check_folder(tmp_path / name)
