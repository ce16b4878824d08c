"""Speed of training, distillation, teacher outputs and reading, against what the hardware allows.

Usage: python benchmarks/throughput.py DATA [--rounds 5] [--model mobilenetv3_small_100] [--side 128]
       [--teacher tf_efficientnet_lite0] [--threads 2] [--only NAME ...]

Each quantity is measured beside its bound, in turns, and reported as the median over the rounds
with the quartiles of the ratio, which a busy machine disturbs less than the rates themselves:

  first    a training epoch (RandAugment, flip, CutOut; validation excluded) that sees its view for the
           first time, against forward, backward and optimiser step on one resident batch
  epoch    one that comes back to a view, as all but the first --views epochs do, against the same
  distil   an epoch with cached teacher outputs and a student's usual loss, against one without a
           teacher; both come back
  fill     computing a view of teacher outputs, against the teacher's inference on resident batches
  read     decoding, resizing and storing all images, against decoding and resizing them alone
  open     opening the stored images again, seconds
  start    seconds of a trial beyond those of its epoch
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from core.config import DataConfig, LossConfig, SearchConfig, TrainConfig
from core.runtime import cpu_count, ordered_map
from distill.student_loss import feature_kind, student_loss
from minnow.evaluators import TrainEvaluator
from nas.objectives import Objectives
from nas.spaces.mobilenet import MobileNet
from nas.strategies.random import RandomSearch
from teachers import find_pretrained
from teachers.finetune import Teacher
from teachers.output_cache import cache_outputs
from teachers.timm_models import replace_head
from training.augment import Augmentation
from training.batches import Batches
from training.data.images import DataOptions, ImageSet, open_images
from training.fit import cross_entropy, fit
from training.metrics import Metrics
from training.optimizer import make_optimizer
from training.preprocess import IMAGENET, prepare

RECIPE = TrainConfig(epochs=1, views=1)
NAMES = ("first", "epoch", "distil", "fill", "read", "open", "start")


@dataclass
class Bench:
    """Model, data and settings of all measurements.

    Attributes:
        data: the images.
        name: timm name of the trained network.
        side: of its input, pixels.
        teacher: as it comes from its weights; its head is untrained.
    """

    data: ImageSet
    name: str
    side: int
    teacher: Teacher

    def first(self) -> float:
        """Return images per second of an epoch through a new view."""
        fresh = replace(self.data, digest=f"{self.data.digest} {time.perf_counter()}")  # nothing is kept
        return replace(self, data=fresh).epoch(repeats=0)

    def epoch(self, *, taught: bool = False, repeats: int = 1) -> float:
        """Return images per second of an epoch, the view having been seen ``repeats`` times."""
        torch.manual_seed(0)
        model = timm.create_model(self.name, num_classes=self.data.num_classes)
        usual = LossConfig(features="hint")
        kind = feature_kind(usual)
        kinds = () if kind is None else (kind,)
        outputs = (
            cache_outputs(self.teacher, self.data, Augmentation(), 1, kinds=kinds) if taught else None
        )
        batches = self.batches(outputs)
        if taught:
            loss = student_loss(usual, 0.1, model, batches)
        else:
            loss = cross_entropy(0.1)
        recipe = RECIPE.model_copy(update={"epochs": 1 + repeats})
        return fit(model, batches, loss, recipe).history[repeats]["images_per_second"]

    def resident(self, steps: int = 12) -> float:
        """Return images per second of forward, backward and optimiser step on one batch in memory."""
        torch.manual_seed(0)
        model = timm.create_model(self.name, num_classes=self.data.num_classes)
        model.to(memory_format=torch.channels_last).train()
        optimizer = make_optimizer(model, RECIPE)
        batch = next(self.batches(None).epoch(0))

        def step() -> None:
            loss = F.cross_entropy(model(batch.images), batch.labels, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        for _ in range(2):
            step()
        started = time.perf_counter()
        for _ in range(steps):
            step()
        return steps * len(batch.labels) / (time.perf_counter() - started)

    def batches(self, outputs: object) -> Batches:
        """Return the batches of the training split."""
        return Batches(self.data, self.side, IMAGENET, Augmentation(), 64, 1, 0, outputs)  # type: ignore[arg-type]

    def fill(self) -> float:
        """Return images per second of computing and storing one view."""
        with own_cache():
            started = time.perf_counter()
            cache_outputs(self.teacher, self.data, Augmentation(), 1)
            return len(self.data.splits["train"]) / (time.perf_counter() - started)

    def inference(self, steps: int = 6) -> float:
        """Return images per second of the teacher on one batch in memory."""
        pixels = torch.from_numpy(self.data.images[self.data.splits["train"][:128]]).permute(0, 3, 1, 2)
        images = prepare(pixels, self.teacher.resolution, self.teacher.normalization)
        with torch.inference_mode():
            self.teacher.model(images)
            started = time.perf_counter()
            for _ in range(steps):
                self.teacher.model(images)
            return steps * len(images) / (time.perf_counter() - started)

    def start(self) -> float:
        """Return the seconds of a trial of one epoch beyond that epoch."""
        objectives = Objectives.parse(["f1:max"], ["macs<=20M"])
        space = MobileNet((96,))
        strategy = RandomSearch(space, objectives, seed=0, num_classes=self.data.num_classes)
        evaluator = TrainEvaluator(self.data, SearchConfig(train=RECIPE))
        proposal = strategy.ask()
        started = time.perf_counter()
        fitted = evaluator.trained(proposal)
        return time.perf_counter() - started - fitted.seconds


def read(spec: str, side: int) -> tuple[float, float, int]:
    """Return the seconds of reading a data set the first and the second time, and its images."""
    with own_cache():
        times = []
        for _ in range(2):
            started = time.perf_counter()
            data = open_images(spec, DataOptions(side))
            times.append(time.perf_counter() - started)
        return times[0], times[1], len(data.images)


def decode(files: list[Path], side: int) -> float:
    """Return the seconds of decoding and resizing alone, in as many threads as there are cores."""
    bicubic = Image.Resampling.BICUBIC

    def one(index: int) -> np.ndarray:
        with Image.open(files[index]) as image:
            square = image.convert("RGB").resize((side, side), bicubic, reducing_gap=3.0)  # as stored
            return np.asarray(square)

    started = time.perf_counter()
    for _ in ordered_map(one, len(files), threads=cpu_count()):
        pass
    return time.perf_counter() - started


@contextmanager
def own_cache() -> Iterator[None]:
    """Use an empty cache."""
    before = os.environ.get("MINNOW_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINNOW_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("MINNOW_CACHE")
            if before is not None:
                os.environ["MINNOW_CACHE"] = before


def pretrained_teacher(spec: str, side: int, classes: int) -> Teacher:
    """Return a teacher with an untrained head: as fast as a trained one."""
    found = find_pretrained(spec)
    torch.manual_seed(0)
    model: nn.Module = replace_head(found.model, classes).eval().requires_grad_(False)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    val = Metrics(0.0, 0.0, 0.0, (), ())
    return Teacher(
        found.name, model, side, found.normalization, found.digest, val, found.source, True, 0.0
    )


def ratio(
    name: str, ours: Callable[[], float], bound: Callable[[], float], rounds: int, unit: str
) -> None:
    """Measure both in turns and print a row."""
    pairs = np.array([(ours(), bound()) for _ in range(rounds)])
    low, median, high = np.quantile(pairs[:, 0] / pairs[:, 1], (0.25, 0.5, 0.75))
    one, other = np.median(pairs, axis=0)
    print(
        f"| {name} | {one:.4g} {unit} | {other:.4g} {unit} | {median:.2f} ({low:.2f} to {high:.2f}) |",
        flush=True,
    )


def seconds(name: str, ours: Callable[[], float], rounds: int) -> None:
    """Measure and print a row."""
    low, median, high = np.quantile([ours() for _ in range(rounds)], (0.25, 0.5, 0.75))
    print(f"| {name} | {median:.3f} ({low:.3f} to {high:.3f}) s | | |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="mobilenetv3_small_100")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--teacher", default="tf_efficientnet_lite0")
    parser.add_argument("--threads", type=int, default=cpu_count())
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    config = DataConfig(spec=given.data, size=given.side)
    data = open_images(config.spec, DataOptions(given.side))
    teacher = pretrained_teacher(given.teacher, given.side, data.num_classes)
    bench = Bench(data, given.model, given.side, teacher)
    print(f"{data.name} at {given.side} px, {given.model}, {given.threads} threads, n = {given.rounds}\n")
    print("| | Minnow | bound | ratio (quartiles) |\n|---|---|---|---|", flush=True)
    rounds = given.rounds
    if "first" in given.only:
        ratio("first", bench.first, bench.resident, rounds, "images/s")
    if "epoch" in given.only:
        ratio("epoch", bench.epoch, bench.resident, rounds, "images/s")
    if "distil" in given.only:
        bench.epoch(taught=True)  # fills the cache
        ratio("distil", partial(bench.epoch, taught=True), bench.epoch, rounds, "images/s")
    if "fill" in given.only:
        ratio("fill", bench.fill, bench.inference, rounds, "images/s")
    if "read" in given.only:
        files = [Path(given.data) / name for name in data.files]
        ratio(
            "read",
            lambda: len(files) / read(given.data, given.side)[0],
            lambda: len(files) / decode(files, given.side),
            rounds,
            "images/s",
        )
    if "open" in given.only:
        seconds("open", lambda: read(given.data, given.side)[1], rounds)
    if "start" in given.only:
        seconds("start", bench.start, rounds)


if __name__ == "__main__":
    main()
