"""timm's knowledge distillation of one student, for as long as a training of Minnow took.

Usage: python benchmarks/timm_kd.py DATA --out FILE.jsonl --model MODEL.yaml --seconds S [--seeds 3]

timm's ``LogitDistillationTask`` as it comes (cross-entropy and KL divergence, equal weights, temperature
1), with timm's loader, RandAugment, flips and random erasing, and a live teacher, which is the one that
benchmarks/distillation.py fine-tunes. Optimiser, learning rate, warm-up, cosine, label smoothing and
average of weights are Minnow's, so that only the distillation differs. timm shows
teacher and student the same tensor; here the teacher enlarges it to its own resolution.

An epoch is timed first, and the schedule is as many epochs as S seconds of training hold. A line goes
into FILE.jsonl as each training ends; seeds that have theirs are skipped.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distillation import spread
from PIL import Image
from timm.data import create_loader
from timm.task import DistillationTeacher, LogitDistillationTask
from timm.utils import ModelEmaV3, random_seed
from torch import nn
from torch.utils.data import Dataset

from core.config import AugmentConfig, DataConfig, TeacherConfig, TrainConfig
from core.files import write_lines
from core.reading import read_lines
from nas.architecture import Architecture
from nas.networks.build import build
from teachers.finetune import Teacher, finetune_teacher
from training.data.images import ImageSet, data_options, open_images
from training.evaluate import evaluate
from training.optimizer import make_optimizer, schedule_by_recipe
from training.preprocess import IMAGENET, Normalization, resize


class Photos(Dataset[tuple[Any, int]]):
    """Training split as timm's loader takes it."""

    transform: Any = None

    def __init__(self, data: ImageSet) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data.splits["train"])

    def __getitem__(self, index: int) -> tuple[Any, int]:
        place = self.data.splits["train"][index]
        image = Image.fromarray(np.asarray(self.data.images[place]))
        return self.transform(image), int(self.data.labels[place])


class Enlarging(nn.Module):
    """Teacher that enlarges images to its own resolution."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.network, self.resolution = teacher.model, teacher.resolution
        self.pretrained_cfg = statistics_of(teacher.normalization)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, (images, classes)."""
        logits: torch.Tensor = self.network(resize(images, self.resolution))
        return logits


def main() -> None:
    """Run the trainings that have no line yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as of --data")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines file")
    parser.add_argument("--model", type=Path, required=True, help="model YAML")
    parser.add_argument("--seconds", type=float, required=True, help="seconds of training")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--image-size", type=int, help="stored side (from the images)")
    parser.add_argument("--teacher", default="tf_efficientnet_lite0", help="as of distill --teacher")
    parser.add_argument("--teacher-epochs", type=int)
    parser.add_argument("--crop", type=float, default=0.08, help="least share of the image (timm's)")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    source = DataConfig(spec=given.data, size=given.image_size)
    data = open_images(source.spec, data_options(source))
    architecture = Architecture.from_yaml(given.model)
    config = TeacherConfig(spec=given.teacher, epochs=given.teacher_epochs)
    finetuned = finetune_teacher(config, data, AugmentConfig())
    teacher = Enlarging(finetuned)
    rows, mine = read_lines(given.out), []
    for seed in range(given.seeds):
        shaped = {
            "data": data.digest,
            "teacher": finetuned.digest,
            "network": architecture.key,
            "seconds": given.seconds,
            "crop": given.crop,
            "seed": seed,
        }
        if found := next((row for row in rows if shaped.items() <= row.items()), None):
            mine.append(found)
            continue
        student, epochs = train(architecture, teacher, data, seed, given.seconds, given.crop)
        resolution = architecture.resolution
        test = evaluate(student, data, "test", resolution=resolution, normalization=IMAGENET)
        rows.append({**shaped, "epochs": epochs, "f1": test.f1})
        mine.append(rows[-1])
        write_lines(given.out, rows)
        print(f"seed {seed}: {epochs} epochs, test macro-F1 {test.f1:.4f}", flush=True)
    epochs = statistics.median(row["epochs"] for row in mine)
    print(f"| timm, {epochs:.0f} epochs | {spread([row['f1'] for row in mine])} | n {len(mine)} |")


def train(
    architecture: Architecture,
    teacher: nn.Module,
    data: ImageSet,
    seed: int,
    seconds: float,
    crop: float,
) -> tuple[nn.Module, int]:
    """Return the averaged student, and the number of its epochs."""
    random_seed(seed)
    student = build(architecture, data.num_classes).to(memory_format=torch.channels_last)
    student.pretrained_cfg = statistics_of(IMAGENET)  # type: ignore[assignment]
    for part in student.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = TrainConfig().norm_momentum
    smooth = nn.CrossEntropyLoss(label_smoothing=TrainConfig().label_smoothing)
    task = LogitDistillationTask(student, DistillationTeacher(teacher), criterion=smooth, verbose=False)
    loader = create_loader(
        Photos(data),  # type: ignore[arg-type]
        (3, architecture.resolution, architecture.resolution),
        TrainConfig().batch_size,
        is_training=True,
        use_prefetcher=False,
        re_prob=0.25,
        scale=(crop, 1.0),
        auto_augment="rand-m9-inc1",
        mean=IMAGENET.mean,
        std=IMAGENET.std,
        num_workers=0,
    )
    initial = {name: value.clone() for name, value in student.state_dict().items()}
    started = time.perf_counter()
    run(task, student, loader, epochs=1)
    epochs = max(1, int(seconds / (time.perf_counter() - started)))
    student.load_state_dict(initial)
    return run(task, student, loader, epochs), epochs


def run(task: nn.Module, student: nn.Module, loader: Any, epochs: int) -> nn.Module:
    """Train with Minnow's recipe, and return the average of the weights."""
    recipe = TrainConfig(epochs=epochs)
    optimizer = make_optimizer(student, recipe)
    scheduler = schedule_by_recipe(optimizer, recipe, len(loader))
    average = ModelEmaV3(student, decay=recipe.average, use_warmup=True)
    step = 0
    task.train()
    for _ in range(epochs):
        for images, labels in loader:
            loss = task(images.contiguous(memory_format=torch.channels_last), labels)["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            scheduler.step_update(step)
            average.update(student, step=step)
    return average.module.eval()


def statistics_of(normalization: Normalization) -> dict[str, tuple[float, ...]]:
    """Return them as timm's models state them."""
    return {"mean": normalization.mean, "std": normalization.std}


if __name__ == "__main__":
    main()
