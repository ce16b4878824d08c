"""Every kind of image file comes out as the picture a person sees."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from core.errors import UserError
from training.data.decode import (
    LIMIT_VARIABLE,
    BrokenImageError,
    file_content,
    max_pixels,
    open_file,
    open_image,
    open_image_file,
)
from training.data.fitting import square
from training.data.upright import decoded


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def upright(image: Image.Image) -> Image.Image:
    with decoded(image) as picture:
        return picture.piece((0, 0, *picture.size))


def _gradient() -> Image.Image:
    """48 x 32, red grows to the right, green downwards, blue is none."""
    rows, columns = np.mgrid[0:32, 0:48]
    return Image.fromarray(
        np.stack([columns * 5, rows * 8, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    )


def _close(found: np.ndarray | Image.Image, expected: np.ndarray | Image.Image, by: int) -> None:
    difference = np.abs(np.asarray(found).astype(int) - np.asarray(expected).astype(int))
    assert difference.max() <= by


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    quality = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    content = _saved(_gradient(), kind, exif=exif, **quality)
    seen = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert (seen.size == (32, 48)) == (orientation >= 5)
    _close(upright(open_image(content)), seen.convert("RGB"), 0)
    for fit in ("squash", "crop", "pad"):
        expected = square(open_image(_saved(seen, "PNG", exif=Image.Exif())), 32, fit)
        _close(square(open_image(content), 32, fit), expected, 2)


@pytest.mark.filterwarnings("ignore:::PIL")
def test_damaged_exif_does_not_spoil_the_picture() -> None:
    content = _saved(_gradient(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff junk")
    assert square(open_image(content), 32, "squash").shape == (32, 32, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    content = _saved(Image.fromarray(deep), kind)
    assert open_image(content).mode != "L"
    _close(upright(open_image(content)), np.repeat((deep / 257)[..., None], 3, axis=-1), 1)


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floating_point_grey(white: float) -> None:
    ramp = np.linspace(0, white, 64 * 64, dtype=np.float32).reshape(64, 64)
    found = np.asarray(upright(open_image(_saved(Image.fromarray(ramp), "TIFF"))))
    _close(found[..., 0], ramp / white * 255, 1)


def test_negative_and_huge_integers_are_stretched() -> None:
    ramp = np.linspace(-100_000, 100_000, 64 * 64).astype(np.int32).reshape(64, 64)
    found = np.asarray(upright(open_image(_saved(Image.fromarray(ramp), "TIFF"))))
    _close(found[..., 0], (ramp + 100_000) / 200_000 * 255, 1)


def test_transparency_is_seen_on_white() -> None:
    layer = _gradient().convert("RGBA")
    layer.putalpha(Image.new("L", layer.size, 128))
    layer.paste((10, 20, 30, 0), (0, 0, 8, 8))
    found = np.asarray(upright(open_image(_saved(layer, "PNG"))))
    assert np.all(found[:8, :8] == 255)
    _close(found[9:, 9:], np.asarray(_gradient())[9:, 9:] * (128 / 255) + 127, 1)

    grey = Image.merge("LA", (Image.new("L", (8, 8), 40), Image.new("L", (8, 8), 0)))
    assert np.all(np.asarray(upright(open_image(_saved(grey, "PNG")))) == 255)


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_palette_with_transparency(kind: str) -> None:
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, 200, 30, 60])
    palette.paste(0, (0, 0, 10, 20))
    plain = np.asarray(upright(open_image(_saved(palette, kind))))
    assert plain[0, 0].tolist() == [0, 0, 0] and plain[0, 19].tolist() == [200, 30, 60]
    clear = np.asarray(upright(open_image(_saved(palette, kind, transparency=0))))
    assert clear[0, 0].tolist() == [255, 255, 255] and clear[0, 19].tolist() == [200, 30, 60]


def test_cmyk_grey_and_one_bit() -> None:
    cmyk = _saved(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG", quality=95)
    assert open_image(cmyk).mode == "CMYK"
    _close(upright(open_image(cmyk)), np.full((40, 40, 3), (255, 0, 0)), 4)
    grey = _gradient().convert("L")
    _close(upright(open_image(_saved(grey, "PNG"))), np.repeat(np.array(grey)[..., None], 3, 2), 0)
    bit = np.asarray(upright(open_image(_saved(Image.new("1", (9, 9), 1), "PNG"))))
    assert np.all(bit == 255)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    content = _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(upright(open_image(content)))[3, 3].tolist() == [255, 0, 0]


def test_fits() -> None:
    image = Image.new("RGB", (60, 20), "red")
    image.paste("blue", (20, 0, 40, 20))
    content = _saved(image, "PNG")
    crop = square(open_image(content), 20, "crop")
    assert np.all(crop == [0, 0, 255])
    pad = square(open_image(content), 60, "pad")
    assert np.all(pad[:19] == 128) and np.all(pad[41:] == 128)
    assert pad[30, 30].tolist() == [0, 0, 255] and pad[30, 3].tolist() == [255, 0, 0]
    squash = square(open_image(content), 30, "squash")
    assert squash[0, 0].tolist() == [255, 0, 0] and squash[29, 15].tolist() == [0, 0, 255]


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(1000, 1), (1, 1000), (1, 1), (3, 5)])
def test_extreme_shapes(size: tuple[int, int], fit: str) -> None:
    content = _saved(Image.new("RGB", size, "red"), "PNG")
    assert square(open_image(content), 32, fit).shape == (32, 32, 3)  # type: ignore[arg-type]


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    for kind in ("PNG", "JPEG"):
        for fit in ("squash", "crop", "pad"):
            found = square(open_image(_saved(Image.fromarray(stripes), kind)), 32, fit)
            _close(found, np.full((32, 32, 3), 128), 4)


def _half(image: Image.Image, kind: str) -> bytes:
    content = _saved(image, kind)
    return content[: len(content) // 2]


def test_broken_files_say_why() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype="u1"))
    for kind in ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM"):
        with pytest.raises(BrokenImageError):
            square(open_image(_half(noise, kind)), 32, "squash")
    with pytest.raises(BrokenImageError, match="empty file"):
        open_image(b"")
    with pytest.raises(BrokenImageError, match="not an image"):
        open_image(b"<html>404</html>")


def test_postscript_is_never_run() -> None:
    with pytest.raises(BrokenImageError, match="not an image"):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")


def test_decompression_bomb() -> None:
    content = bytearray(_saved(_gradient(), "BMP"))
    content[18:26] = struct.pack("<ii", 20_000, 20_000)  # width and height in the header
    with pytest.raises(BrokenImageError, match="million pixels"):
        open_image(bytes(content))


@pytest.mark.filterwarnings("ignore:::PIL")
def test_no_byte_soup_escapes_as_another_error(tmp_path: Path) -> None:
    """Flip bytes in real files: an image or BrokenImageError, and nothing else."""
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        original = np.frombuffer(_saved(_gradient(), kind), np.uint8)
        for _ in range(60):
            damaged = original.copy()
            places = rng.integers(len(damaged), size=4)
            damaged[places] = rng.integers(256, size=4)
            try:
                found = square(open_image(damaged.tobytes()), 32, "squash")
            except BrokenImageError as error:
                assert str(error) and "\n" not in str(error)
            else:
                assert found.shape == (32, 32, 3) and found.dtype == np.uint8


def test_decoding_needs_no_torch() -> None:
    code = "import sys, training.data.images, training.data.check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _empty_png(width: int, height: int) -> bytes:
    """The header of a PNG of any size, without its pixels."""
    content = bytearray(_saved(Image.new("L", (1, 1)), "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.filterwarnings("ignore:::PIL")
def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max_pixels() == 50_000_000
    assert open_image(_empty_png(10_000, 5_000)).size == (10_000, 5_000)
    for size in ((10_000, 5_001), (13_000, 13_000), (60_000, 60_000)):
        with pytest.raises(BrokenImageError, match="more than 50 million pixels") as error:
            open_image(_empty_png(*size))
        assert LIMIT_VARIABLE in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(BrokenImageError, match=r"^13000 x 13000 px, more than 50 million pixels"):
        open_image(_empty_png(13_000, 13_000))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setenv(LIMIT_VARIABLE, "4000")
    assert open_image(_empty_png(60_000, 60_000)).size == (60_000, 60_000)
    monkeypatch.setenv(LIMIT_VARIABLE, "0.001")
    assert open_image(_empty_png(20, 50)).size == (20, 50)
    with pytest.raises(BrokenImageError, match=r"more than 0\.001 million"):
        open_image(_empty_png(20, 51))


@pytest.mark.parametrize("text", ["0", "-3", "many", "nan", "inf", "1e9", "5" * 400])
def test_what_is_no_limit(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(UserError, match="give the most megapixels of an image") as error:
        open_image(_empty_png(5, 5))
    assert LIMIT_VARIABLE in str(error.value) and len(str(error.value)) < 200


def test_only_regular_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of these may be read: a pipe without a writer waits for ever, /dev/zero never ends."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "to-pipe.png").symlink_to("pipe.png")
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "nothing.png").symlink_to("nowhere.png")
    expected = {
        "pipe.png": "a named pipe, not a file",
        "to-pipe.png": "a named pipe, not a file",
        "folder.png": "a folder, not a file",
        "circle.png": "symbolic links",
        "nothing.png": "No such file",
    }
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's path has at most 108 characters
        listener.bind("socket.png")
        expected["socket.png"] = "a socket, not a file"
        for name, reason in expected.items():
            with pytest.raises(BrokenImageError, match=reason):
                open_image_file(tmp_path / name)


def test_a_device_is_not_opened(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "zero.png", 0o020600, os.makedev(1, 5))
    except OSError:
        pytest.skip("this user may not create device files")
    (tmp_path / "link.png").symlink_to("zero.png")
    for name in ("zero.png", "link.png"):
        with pytest.raises(BrokenImageError, match="a device, not a file"):
            open_image_file(tmp_path / name)


def test_files_larger_than_any_image_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    path.touch()
    os.truncate(path, 1 << 40)
    with pytest.raises(BrokenImageError, match="larger than 467 MB"):
        open_image_file(path)
    os.truncate(path, 33 << 20)
    assert file_content(path) == path
    path.write_bytes(b"abc")
    assert file_content(path) == b"abc"
    with open_file(path) as file:
        assert file.read() == b"abc"
