"""Contract checks of a target: ``check(MyTarget)`` in a test, one test per check.

With pytest::

    @pytest.mark.parametrize("check", TARGET_CHECKS.values(), ids=TARGET_CHECKS)
    def test_contract(check):
        check(MyTarget)
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import torch
from torch import nn

import deploy.targets
from core.contracts import Suite, expect, expect_error
from core.errors import UserError
from deploy.device.address import Address
from deploy.device.link import ModelError
from deploy.targets.base import FLOAT, INT8, ConvertedModel, Int8Target, Target
from deploy.targets.conversion import convert
from deploy.targets.session import Session
from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv2, InvertedResidualv3
from nas.networks import build

_CLASSES = 5
_SIDE = 40  # no power of two
_IMAGES = 24
_FLOAT_DIFFERENCE = 0.02  # share of the largest logit
_INT8_CORRELATION = 0.97  # of logits
_OVERHEAD = 0.05  # of a file over its weights, as a share and per operation
_OPERATION_BYTES = 600

#: With squeeze-excite, hard-swish and a residual.
_BLOCKS = (
    Conv(16, 3, 2),
    InvertedResidualv3(3, 3.0, 24, True, True, 2),
    InvertedResidualv2(24, 3, 1),
    InvertedResidualv3(5, 4.0, 40, True, False, 2),
    Conv(96, 1),
)
_LARGE, _LARGE_SIDE = (Conv(64, 5),), 120  # of many multiply-adds, and of few operations to convert


@dataclass(frozen=True)
class TargetCase:
    """A target under test, on this machine."""

    target: Target

    def __str__(self) -> str:
        return type(self.target).__name__

    @cached_property
    def session(self) -> Session:
        """The target's connection."""
        return _session(type(self.target))

    @cached_property
    def network(self) -> nn.Module:
        """A network whose logits differ between images."""
        return _network()

    @cached_property
    def model(self) -> ConvertedModel:
        """The network in the target's format."""
        return _model(type(self.target))

    @cached_property
    def images(self) -> np.ndarray:
        """Images of blocks of colour, ``(n, 3, r, r)`` in 0..1."""
        return _images(_IMAGES)


def _case(kind: type[Target] | str) -> TargetCase:
    return TargetCase((deploy.targets.load(kind) if isinstance(kind, str) else kind)())


TARGET_CHECKS_SUITE = Suite(_case)
TARGET_CHECKS = TARGET_CHECKS_SUITE.checks


@TARGET_CHECKS_SUITE.add("the runner is self-contained")
def check_runner(case: TargetCase) -> None:
    """Check that the runner's text defines what the device needs, and imports nothing of Minnow."""
    text = case.target.runner.read_text()
    namespace: dict[str, object] = {}
    exec(compile(text, str(case.target.runner), "exec"), namespace)
    for name in ("version", "open_model", "PACKAGE"):
        expect(name in namespace, f"the runner defines no {name}")
    own = {"core", "nas", "training", "teachers", "distill", "deploy", "minnow"}
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        expect(not own & {name.partition(".")[0] for name in names}, f"the runner imports {names}")


@TARGET_CHECKS_SUITE.add("attributes have values that are known")
def check_attributes(case: TargetCase) -> None:
    """Check precision, layout and sizes."""
    target = case.target
    expect(target.precision in (FLOAT, INT8), f"precision {target.precision!r}")
    expect(target.layout in ("NCHW", "NHWC"), f"layout {target.layout!r}")
    expect(target.weight_bytes > 0 and target.channel_bytes >= 0, "bytes of a weight")
    if isinstance(target, Int8Target):
        expect(len(target.recipes) > 0, "there is no recipe")
        if target.float_target is not None:
            same = deploy.targets.load(target.float_target)
            expect(same.runner == target.runner, f"{target.float_target} has another runner")


@TARGET_CHECKS_SUITE.add("converting leaves the network and the random numbers alone")
def check_untouched(case: TargetCase) -> None:
    """Check that neither weights nor torch's random state change."""
    _model.cache_clear()
    before = {name: tensor.clone() for name, tensor in case.network.state_dict().items()}
    state = torch.random.get_rng_state()
    expect(case.model.size_bytes > 0, "the files are empty")
    expect(torch.equal(state, torch.random.get_rng_state()), "the random state changed")
    after = case.network.state_dict()
    expect(all(torch.equal(before[name], after[name]) for name in before), "weights changed")


@TARGET_CHECKS_SUITE.add("logits are the network's")
def check_logits(case: TargetCase) -> None:
    """Check that the converted network computes what PyTorch computes, up to the precision."""
    with torch.inference_mode():
        expected = case.network(_normalised(case.images)).numpy()
    logits = case.session.logits(case.model, case.images)
    expect(logits.shape == expected.shape and logits.dtype == np.float32, f"logits {logits.shape}")
    if case.target.precision == FLOAT:
        difference = np.abs(logits - expected).max() / np.abs(expected).max()
        expect(difference < _FLOAT_DIFFERENCE, f"logits differ by {difference:.3f} of the largest")
    else:
        correlation = np.corrcoef(logits.ravel(), expected.ravel())[0, 1]
        expect(correlation > _INT8_CORRELATION, f"logits correlate by {correlation:.3f}")


@TARGET_CHECKS_SUITE.add("latency is measured")
def check_latency(case: TargetCase) -> None:
    """Check that a much larger network takes longer, and that the runtime is named."""
    large = build(classifier(_LARGE_SIDE, _LARGE), _CLASSES).eval()
    small, longer = case.session.measure([case.model, convert(case.target, large, _LARGE_SIDE)])
    expect(0 < small.median_ms < longer.median_ms, f"{small.median_ms} and {longer.median_ms} ms")
    expect(small.n >= 20 and small.iqr_ms >= 0, f"{small}")
    expect(longer.runtime == case.session.runtime(), f"runtime {longer.runtime!r}")


@TARGET_CHECKS_SUITE.add("the size of the weights is that of the files")
def check_flash(case: TargetCase) -> None:
    """Check that the files hold ``flash_kb``, and little else."""
    architecture = _architecture()
    operations = len([*architecture.operations(_CLASSES)])
    sizes = [len(content) for content in case.model.files.values()]
    flash = 1024 * case.target.flash_kb(architecture, _CLASSES)
    most = flash * (1 + _OVERHEAD) + operations * _OPERATION_BYTES
    held = any(flash <= size <= most for size in (sum(sizes), *sizes))
    expect(held, f"weights of {flash:.0f} bytes in files of {sizes}")


@TARGET_CHECKS_SUITE.add("a damaged model is an error, and the next one works")
def check_damage(case: TargetCase) -> None:
    """Check that the connection outlives a model that the runtime cannot open."""
    damaged = replace(case.model, files={name: b"no model" for name in case.model.files})
    expect_error(lambda: case.session.measure([damaged]), "", ModelError)
    expect(case.session.measure([case.model])[0].median_ms > 0, "the next model fails")


def missing(name: str) -> str | None:
    """Return why a target cannot be checked here, or ``None``."""
    try:
        target = deploy.targets.load(name)()
        target.check()
        _session(type(target))
    except UserError as error:
        return str(error)
    return None


@cache
def _session(kind: type[Target]) -> Session:
    return Session(kind(), Address(python=sys.executable))


@cache
def _model(kind: type[Target]) -> ConvertedModel:
    return convert(kind(), _network(), _SIDE, images=_images(_IMAGES))


@cache
def _network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(_architecture(), _CLASSES)
        network.train()
        with torch.no_grad():
            for _ in range(20):  # batch norm of these images
                network(_normalised(_images(_IMAGES)))
        return network.eval()


def _architecture() -> Architecture:
    return classifier(_SIDE, _BLOCKS)


@cache
def _images(count: int) -> np.ndarray:
    blocks = np.random.default_rng(0).random((count, 3, 5, 5), dtype=np.float32)
    return np.kron(blocks, np.ones((1, 1, _SIDE // 5, _SIDE // 5), dtype=np.float32))


def _normalised(images: np.ndarray) -> torch.Tensor:
    """Return images as the network sees them, with the default normalisation."""
    from training.preprocess import IMAGENET

    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    return (torch.from_numpy(images) - mean) / std
