"""Validation F1 of a teacher cut by each rule of channel importance, without any training.

Usage: python benchmarks/importance.py DATA [--teacher tf_efficientnet_lite0] [--teacher-epochs 10]
       [--image-size S]

Every row cuts one kind of channels down to a share, in all blocks or stages at once, and recalibrates
batch norm on 1,000 training images. ``random`` keeps channels in a random order, for comparison.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from core.config import AugmentConfig, DataConfig, TeacherConfig
from distill.inherited_weights import inherit_from_base
from nas.spaces.elastic import Elastic
from teachers.finetune import finetune_teacher
from training.data.images import data_options, open_images
from training.device import keep_freed_memory

CUTS = {
    "expansions": ("expansion", (0.8, 0.65, 0.5)),
    "streams": ("channels", (0.8, 0.65)),
    "head": ("head.channels", (0.5, 0.25)),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as of --data")
    parser.add_argument("--teacher", default="tf_efficientnet_lite0", help="as of distill --teacher")
    parser.add_argument("--teacher-epochs", type=int, default=10)
    parser.add_argument("--image-size", type=int, help="stored side (from the images)")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    source = DataConfig(spec=given.data, size=given.image_size)
    data = open_images(source.spec, data_options(source))
    config = TeacherConfig(spec=given.teacher, epochs=given.teacher_epochs)
    augment = AugmentConfig()
    teacher = finetune_teacher(config, data, augment)
    by_rule = {rule: inherit_from_base(teacher, data, rule) for rule in ("taylor", "magnitude")}
    torch.manual_seed(0)
    orders = {group: torch.randperm(len(of)) for group, of in by_rule["taylor"].orders.items()}
    by_rule["random"] = replace(by_rule["taylor"], orders=orders)
    space = Elastic((by_rule["taylor"].base.resolution,), base=by_rule["taylor"].base)
    print(f"| kept | {' | '.join(by_rule)} |\n|---|{'---|' * len(by_rule)}")
    for label, (ending, shares) in CUTS.items():
        for share in shares:
            point = cut_to(space, ending, share)
            cut = space.decode(point)
            vals = [whole.evaluate_subnet(cut, data, augment)[1] for whole in by_rule.values()]
            scores = [f"{val.f1:.3f}" for val in vals]
            print(f"| {share:g} of the {label} | {' | '.join(scores)} |", flush=True)


def cut_to(space: Elastic, ending: str, share: float) -> list[int]:
    """Return the whole network, but for decisions with that ending, which keep about ``share``."""
    point = list(space.largest)
    for place, decision in enumerate(space.decisions):
        apart = decision.name in ("head.channels", "stem.channels")
        if decision.name == ending or (decision.name.endswith(f".{ending}") and not apart):
            options = decision.options
            point[place] = min(range(len(options)), key=lambda i: abs(options[i] - share))
    return point


if __name__ == "__main__":
    main()
