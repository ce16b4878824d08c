"""Augmentation: pure in (seed, image, view), and the operations are those of the papers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import InterpolationMode, v2

from core.errors import UserError
from training.augment import MAX_MAGNITUDE, OPERATIONS, Augmentation, apply, augment, draw_augmentations

NOTHING = Augmentation(operations=0, flip=False, cutout=0.0)
SIGNED = {
    "Rotate",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
}


def _pictures(count: int = 24, size: int = 48) -> torch.Tensor:
    """Smooth random pictures with a full range of values."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return smooth.mul(255).clamp(0, 255).to(torch.uint8)


def _augment(images: torch.Tensor, indices: list[int], **changed: object) -> torch.Tensor:
    arguments = {"total": 24, "view": 3, "seed": 5, "settings": Augmentation(), **changed}
    return augment(images[indices], np.array(indices), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("magnitude", [9, 30])
@pytest.mark.parametrize("random", [False, True])
def test_an_image_is_the_same_in_any_batch(magnitude: int, random: bool) -> None:
    images = _pictures()
    settings = Augmentation(operations=3, magnitude=magnitude, random_magnitude=random)
    whole = _augment(images, list(range(24)), settings=settings)
    for index in range(24):
        assert torch.equal(_augment(images, [index], settings=settings)[0], whole[index])
    shuffled = np.random.default_rng(1).permutation(24).tolist()
    assert torch.equal(_augment(images, shuffled[:17], settings=settings), whole[shuffled[:17]])


def test_every_operation_is_the_same_in_any_batch_and_number_of_threads() -> None:
    images = _pictures(6, 256)
    threads = torch.get_num_threads()
    try:
        for name in OPERATIONS:
            torch.set_num_threads(2)
            whole = apply(name, images, 17, True)
            torch.set_num_threads(1)
            for index in range(6):
                alone = apply(name, images[index : index + 1], 17, True)[0]
                assert torch.equal(alone, whole[index]), name
    finally:
        torch.set_num_threads(threads)


def test_memory_layout_does_not_matter_and_the_input_is_kept() -> None:
    images = _pictures()
    before = images.clone()
    expected = _augment(images, list(range(24)))
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(_augment(last, list(range(24))), expected)
    assert torch.equal(images, before)
    assert expected.dtype == torch.uint8 and expected.is_contiguous()


def test_seed_and_view_matter() -> None:
    images = _pictures()
    every = list(range(24))
    base = _augment(images, every)
    assert torch.equal(base, _augment(images, every))
    assert not torch.equal(base, _augment(images, every, view=4))
    assert not torch.equal(base, _augment(images, every, seed=6))


def test_nothing_asked_nothing_done() -> None:
    images = _pictures()
    assert torch.equal(_augment(images, [4, 2], settings=NOTHING), images[[4, 2]])


def test_flip_mirrors_half_of_the_images() -> None:
    images = _pictures()
    settings = Augmentation(operations=0, cutout=0.0)
    flipped = 0
    for view in range(20):
        changed = _augment(images, list(range(24)), settings=settings, view=view)
        for before, after in zip(images, changed, strict=True):
            assert torch.equal(after, before) or torch.equal(after, before.flip(-1))
            flipped += not torch.equal(after, before)
    assert 200 < flipped < 280  # 240 ± 3.6 standard deviations


def test_cutout_is_a_grey_square_cut_at_the_border() -> None:
    images = torch.zeros(24, 3, 40, 40, dtype=torch.uint8)
    settings = Augmentation(operations=0, flip=False, cutout=0.25)
    changed = _augment(images, list(range(24)), settings=settings)
    whole = 0
    for image in changed:
        rows, columns = torch.nonzero(image[0] == 128, as_tuple=True)
        height, width = (int(along.max() - along.min()) + 1 for along in (rows, columns))
        assert len(rows) == height * width and 5 <= height <= 10 and 5 <= width <= 10
        assert torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])
        whole += height == width == 10
    assert whole > 8


def test_random_magnitudes_are_uniform_for_each_image_and_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every strength from 0 to the given one, as often; the operations are those of a fixed one."""
    settings = Augmentation(operations=2, magnitude=4, flip=False, cutout=0.0, random_magnitude=True)
    seen: list[tuple[str, int, bool, int]] = []

    def record(name: str, images: torch.Tensor, magnitude: int, negative: bool) -> torch.Tensor:
        seen.append((name, magnitude, negative, len(images)))
        return images

    monkeypatch.setattr("training.augment.apply", record)
    images = torch.zeros(7000, 3, 2, 2, dtype=torch.uint8)
    numbers = np.arange(7000)
    augment(images, numbers, total=7000, view=0, seed=0, settings=settings)
    counts = np.zeros(5)
    for name, magnitude, _, count in seen:
        counts[magnitude] += count
        assert name != "Identity" and type(magnitude) is int
    assert counts.sum() == pytest.approx(14_000 * 13 / 14, rel=0.02)
    assert np.all(np.abs(counts / counts.sum() - 0.2) < 0.015)
    drawn = draw_augmentations(7000, 0, 0, 2).strength
    assert abs(np.corrcoef(drawn)[0, 1]) < 0.05
    fixed = {(name, negative) for name, _, negative, _ in seen}
    seen.clear()
    plain = Augmentation(operations=2, magnitude=4, flip=False, cutout=0.0)
    augment(images, numbers, total=7000, view=0, seed=0, settings=plain)
    assert {(name, negative) for name, _, negative, _ in seen} == fixed


def test_operations_are_drawn_evenly() -> None:
    draws = draw_augmentations(70_000, 0, 0, 2)
    counts = np.bincount(draws.operation.ravel(), minlength=len(OPERATIONS))
    assert np.all(np.abs(counts - 10_000) < 500)
    assert abs(draws.negative.mean() - 0.5) < 0.01
    assert len(set(OPERATIONS)) == 14


@pytest.mark.parametrize("name", OPERATIONS)
def test_against_torchvision(name: str) -> None:
    """The same magnitude tables and the same pixels; warped borders may differ."""
    images = _pictures(4)
    reference = v2.RandAugment(interpolation=InterpolationMode.BILINEAR, fill=128)
    table, signed = reference._AUGMENTATION_SPACE[name]
    assert signed == (name in SIGNED)
    magnitudes = table(MAX_MAGNITUDE + 1, 48, 48)
    for magnitude in (0, 1, 9, 17, 30):
        for negative in (False, True) if signed else (False,):
            value = 0.0 if magnitudes is None else float(magnitudes[magnitude])
            expected = reference._apply_image_or_video_transform(
                images,
                name,
                -value if negative else value,
                interpolation=InterpolationMode.BILINEAR,
                fill=reference._fill,
            )
            found = apply(name, images, magnitude, negative)
            difference = (found.int() - expected.int()).abs()
            if name in ("Rotate", "ShearX", "ShearY"):
                assert (difference > 1).float().mean() < 0.05
                inner = difference[..., 20:28, 20:28]
                assert inner.max() <= 1 and (inner == 0).float().mean() > 0.9
            else:
                assert difference.max() <= (name in ("Contrast", "Color", "Brightness"))


def test_against_pillow() -> None:
    """The paper's own operations are Pillow's."""
    image = _pictures(1)
    picture = Image.fromarray(image[0].permute(1, 2, 0).numpy())
    oracles = {
        "AutoContrast": ImageOps.autocontrast(picture),
        "Equalize": ImageOps.equalize(picture),
        "Solarize": ImageOps.solarize(picture, 128),
        "Posterize": ImageOps.posterize(picture, 6),
        "Color": ImageEnhance.Color(picture).enhance(1 - 0.45),
        "Contrast": ImageEnhance.Contrast(picture).enhance(1 - 0.45),
        "Brightness": ImageEnhance.Brightness(picture).enhance(1 - 0.45),
        "Sharpness": ImageEnhance.Sharpness(picture).enhance(1 - 0.45),
    }
    for name, oracle in oracles.items():
        found = apply(name, image, 15, True)[0].permute(1, 2, 0).numpy().astype(int)
        assert np.abs(found - np.asarray(oracle, dtype=int)).max() <= 2, name


def test_directions_and_grey_fill() -> None:
    image = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    right = apply("TranslateX", image, 30, False)
    assert torch.all(right[..., :21] == 128) and torch.all(right[..., 21:] == 0)
    up = apply("TranslateY", image, 30, True)
    assert torch.all(up[..., -21:, :] == 128) and torch.all(up[..., :-21, :] == 0)
    turned = apply("Rotate", image, 30, False)
    assert set(turned[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]].tolist()) == {128}
    flat = torch.full((1, 3, 48, 48), 128, dtype=torch.uint8)
    for name in ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY"):
        assert torch.equal(apply(name, flat, 30, True), flat)


def test_real_photographs_stay_recognisable(trashnet: Path) -> None:
    names = sorted((trashnet / "glass").iterdir())[:16]
    pixels = np.stack([np.asarray(Image.open(name).convert("RGB")) for name in names])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    changed = augment(images, np.arange(16), total=16, view=0, seed=0, settings=Augmentation(cutout=0.0))
    per_image = (changed.float() - images.float()).abs().mean(dim=(1, 2, 3))
    assert 0 < per_image.mean() < 60
    assert torch.all(changed.float().std(dim=(1, 2, 3)) > 5)


def test_keys_tell_settings_apart() -> None:
    keys = {
        Augmentation(*values).key
        for values in [(2, 9, True, 0.25), (1, 9, True, 0.25), (2, 8, True, 0.25)]
    }
    keys |= {Augmentation(flip=False).key, Augmentation(cutout=0.5).key}
    keys |= {Augmentation(random_magnitude=True).key, Augmentation(mixup=0.5, random_magnitude=True).key}
    assert len(keys) == 7
    assert Augmentation().key == Augmentation(2, 9, True, 0.25).key


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"operations": -1}, "operations is -1"),
        ({"magnitude": 31}, "choose 0 to 30"),
        ({"cutout": 1.5}, "cutout is 1.5"),
    ],
)
def test_settings_out_of_range(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Augmentation(**arguments)  # type: ignore[arg-type]
