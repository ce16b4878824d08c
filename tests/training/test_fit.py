"""The training loop: what it keeps, that it can be cut anywhere, and that it learns."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from core.config import TrainConfig
from core.errors import UserError
from nas.networks import build
from nas.spaces.toy import Toy
from training.augment import Augmentation
from training.batches import Batch, Batches
from training.epoch_selection import standard_error
from training.evaluate import evaluate
from training.fit import Fitted, cross_entropy, fit
from training.optimizer import flat_schedule
from training.preprocess import IMAGENET
from training.state import load_checkpoint
from training.step import DivergedError

ROOT = Path(__file__).parents[2]
RECIPE = TrainConfig(epochs=4, batch_size=50, learning_rate=0.01, views=2)
LOSS = cross_entropy(0.1)


def batches_of(data, recipe: TrainConfig = RECIPE, seed: int = 0) -> Batches:
    augmentation = Augmentation(operations=1, flip=False)
    return Batches(data, 32, IMAGENET, augmentation, recipe.batch_size, recipe.view_count, seed)


def network(seed: int = 0) -> nn.Module:
    """Everything that has a state or draws random numbers: batch norm and dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 4),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def train(data, *, recipe: TrainConfig = RECIPE, seed: int = 0, loss=LOSS, **options) -> Fitted:
    return fit(network(seed), batches_of(data, recipe, seed), loss, recipe, **options)


def equal(one: Fitted, other: Fitted) -> bool:
    """Same weights to the bit, same history but for the clock, same choice."""
    a, b = one.model.state_dict(), other.model.state_dict()
    timed = ("seconds", "images_per_second")
    histories = [
        [{k: v for k, v in epoch.items() if k not in timed} for epoch in fitted.history]
        for fitted in (one, other)
    ]
    return (
        a.keys() == b.keys()
        and all(torch.equal(a[key], b[key]) for key in a)
        and histories[0] == histories[1]
        and (one.kept_epoch, one.val) == (other.kept_epoch, other.val)
    )


class Cut(Exception):
    """Stands for a kill: nothing in the loop handles it."""


def cut_at(epoch: int, step: int):
    def report(progress) -> None:
        if (progress.epoch, progress.step) == (epoch, step):
            raise Cut

    return report


def test_same_seed_same_weights_and_another_seed_others(some_digits):
    once = train(some_digits)
    torch.manual_seed(12345)  # whatever ran before must not matter
    assert equal(once, train(some_digits))
    assert not equal(once, train(some_digits, seed=1))


@pytest.mark.parametrize("average", [0.9, 0.0])
@pytest.mark.parametrize("cut", [(0, 2), (1, 0), (1, 3), (2, 0), (3, 4), (4, 0)])
def test_resuming_changes_nothing(some_digits, tmp_path, cut, average):
    """``(epoch, step)`` of the cut; step 0 is right after an epoch's checkpoint."""
    recipe = RECIPE.model_copy(update={"average": average})
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Cut):
        train(some_digits, recipe=recipe, checkpoint=path, report=cut_at(*cut))
    saved = load_checkpoint(path, "")
    assert (0 if saved is None else len(saved["history"])) == cut[0]
    torch.manual_seed(777)
    resumed = train(some_digits, recipe=recipe, checkpoint=path)
    assert equal(resumed, train(some_digits, recipe=recipe))


def test_a_cut_after_every_epoch_changes_nothing(some_digits, tmp_path):
    path = tmp_path / "checkpoint.pt"
    for epoch in range(1, RECIPE.epochs + 1):
        with pytest.raises(Cut):
            train(some_digits, checkpoint=path, report=cut_at(epoch, 0))
    assert equal(train(some_digits, checkpoint=path), train(some_digits))


def test_more_epochs_continue_a_training_that_ended(some_digits, tmp_path):
    """To the bit, under the schedule that does not depend on their number."""
    path = tmp_path / "checkpoint.pt"
    for epochs in (1, 3):
        train(
            some_digits,
            recipe=RECIPE.model_copy(update={"epochs": epochs}),
            schedule=flat_schedule,
            checkpoint=path,
        )
        torch.manual_seed(777)
    longer = train(some_digits, schedule=flat_schedule, checkpoint=path)
    assert equal(longer, train(some_digits, schedule=flat_schedule))
    assert not equal(longer, train(some_digits))


def test_a_finished_training_is_not_trained_again(some_digits, tmp_path):
    path = tmp_path / "checkpoint.pt"
    once = train(some_digits, checkpoint=path)
    steps = []
    assert equal(once, train(some_digits, checkpoint=path, report=steps.append))
    assert steps == []


_SERVER = """
import os, sys
from pathlib import Path
import torch
from core.config import TrainConfig
from nas.networks import build
from nas.spaces.toy import Toy
from training.augment import Augmentation
from training.batches import Batches
from training.fit import cross_entropy, fit
from training.data.images import open_images
from training.preprocess import IMAGENET

torch.set_num_threads(1)  # before any work, so that a fork inherits no threads
folder = Path(sys.argv[1])
data = open_images("digits", cache=folder)
data = data.resplit(**{part: indices[:300] for part, indices in data.splits.items()})

def run(name):
    recipe = TrainConfig(epochs=8)
    torch.manual_seed(0)
    model = build(Toy().decode((0, 1, 0, 0)), 10)
    batches = Batches(data, 32, IMAGENET, Augmentation(flip=False), 64, 4, 0)
    done = fit(model, batches, cross_entropy(0.1), recipe, checkpoint=folder / f"{name}.pt")
    losses = [(epoch["loss"], epoch["val_f1"]) for epoch in done.history]
    torch.save([done.model.state_dict(), losses, done.kept_epoch], folder / f"{name}.done")

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        run(line.strip())
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_changes_nothing(tmp_path):
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert server.stdin is not None and server.stdout is not None

    def run(name: str, killed_after: float | None = None) -> int:
        server.stdin.write(f"{name}\n")
        server.stdin.flush()
        child = int(server.stdout.readline())
        if killed_after is not None:
            time.sleep(killed_after)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(server.stdout.readline())

    try:
        assert run("first") == 0  # decodes the images
        started = time.monotonic()
        assert run("whole") == 0
        length = time.monotonic() - started
        rng = random.Random(0)
        reached = []
        for _ in range(40):
            status = run("cut", killed_after=rng.uniform(0.05, 0.3) * length)
            saved = load_checkpoint(tmp_path / "cut.pt", "")
            reached.append(0 if saved is None else len(saved["history"]))
            if status == 0:
                break
        else:
            assert run("cut") == 0
    finally:
        server.stdin.close()
        server.wait()
    assert len(reached) > 2 and reached == sorted(reached)
    whole, cut = (torch.load(tmp_path / f"{name}.done") for name in ("whole", "cut"))
    assert whole[1:] == cut[1:]
    assert all(torch.equal(whole[0][key], cut[0][key]) for key in whole[0])


def test_a_checkpoint_of_another_training_is_refused(some_digits, tmp_path):
    path = tmp_path / "checkpoint.pt"
    train(some_digits, checkpoint=path, identity="one")
    with pytest.raises(UserError, match="another") as error:
        train(some_digits, checkpoint=path, identity="other")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("average", [0.9, 0.0])
def test_kept_is_the_last_epoch_that_validates_about_as_well_as_the_best(some_digits, average):
    recipe = RECIPE.model_copy(update={"average": average, "epochs": 8})
    fitted = train(some_digits, recipe=recipe)
    scores = [epoch["val_f1"] for epoch in fitted.history]
    assert len(scores) == 8
    assert scores[fitted.kept_epoch - 1] == fitted.val.f1
    least = max(scores) - standard_error(max(scores), fitted.val.images)
    assert fitted.val.f1 >= least > max(scores[fitted.kept_epoch :], default=0.0)
    assert not fitted.model.training
    how = {"resolution": 32, "normalization": IMAGENET}
    assert evaluate(fitted.model, some_digits, "val", **how) == fitted.val


def test_a_training_that_spoils_itself_keeps_its_early_weights(some_digits):
    seen = []

    def spoiled(model, batch):
        seen.append(len(batch.labels))
        sign = 1.0 if len(seen) <= 3 * 4 else -1.0  # four steps an epoch; from the fourth, worse
        return sign * F.cross_entropy(model(batch.images), batch.labels).clamp(max=20.0)

    recipe = RECIPE.model_copy(update={"average": 0.0, "epochs": 8, "learning_rate": 0.05})
    fitted = train(some_digits, recipe=recipe, loss=spoiled)
    assert fitted.kept_epoch <= 3
    assert fitted.history[-1]["val_f1"] < fitted.val.f1


def test_of_equal_epochs_the_last_is_kept(some_digits):
    recipe = RECIPE.model_copy(update={"learning_rate": 1e-12})
    data = some_digits.resplit(val=some_digits.splits["val"][:1])
    fitted = train(data, recipe=recipe)
    assert len({epoch["val_f1"] for epoch in fitted.history}) == 1
    assert fitted.kept_epoch == recipe.epochs


def test_the_learning_rate_warms_up_and_decays(some_digits):
    recipe = RECIPE.model_copy(update={"epochs": 10, "warmup": 0.25})
    rates = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"])
    )
    try:
        train(some_digits, recipe=recipe)
    finally:
        hook.remove()
    assert len(rates) == 40
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(recipe.learning_rate, rel=0.15)
    assert 8 <= peak <= 11
    assert rates[0] == pytest.approx(recipe.learning_rate * 0.1)
    assert rates[:9] == sorted(rates[:9])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 0.05 * recipe.learning_rate


def test_without_averaging_the_trained_weights_themselves_are_kept(some_digits):
    recipe = RECIPE.model_copy(update={"epochs": 1})
    trained, kept, losses = {}, {}, {}
    for average in (0.0, 0.99):
        settings = recipe.model_copy(update={"average": average})
        model = network()

        def remember(progress, model=model, average=average):
            if progress.epoch == 0:
                trained[average] = {k: v.clone() for k, v in model.state_dict().items()}

        fitted = fit(model, batches_of(some_digits), LOSS, settings, report=remember)
        kept[average] = fitted.model.state_dict()
        losses[average] = fitted.history[0]["loss"]
    assert losses[0.0] == losses[0.99]  # averaging only watches
    assert all(torch.equal(trained[0.0][key], trained[0.99][key]) for key in trained[0.0])
    assert all(torch.equal(trained[0.0][key], kept[0.0][key]) for key in kept[0.0])
    assert not torch.equal(trained[0.99]["6.weight"], kept[0.99]["6.weight"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_epoch_and_step(some_digits, value):
    steps = []

    def broken(model, batch):
        steps.append(1)
        loss = F.cross_entropy(model(batch.images), batch.labels)
        return loss * value if len(steps) == 4 + 3 else loss

    with pytest.raises(DivergedError, match=r"epoch 2, step 3.*learning rate 0.01") as error:
        train(some_digits, loss=broken)
    assert "\n" not in str(error.value)


def test_weights_that_explode_in_the_last_step_get_no_score(some_digits):
    """The loss is computed before a step, so a single huge one never shows in it."""
    recipe = RECIPE.model_copy(update={"epochs": 1, "batch_size": 200, "learning_rate": 1e36})
    with pytest.raises(DivergedError, match="learning rate"):
        train(some_digits, recipe=recipe)


def test_the_loss_is_the_mean_over_images(some_digits):
    recipe = RECIPE.model_copy(update={"epochs": 1, "batch_size": 64})  # 67, 67 and 66 images
    seen = []

    def loss(model, batch):
        value = F.cross_entropy(model(batch.images), batch.labels)
        seen.append((value.item(), len(batch.labels)))
        return value

    fitted = train(some_digits, recipe=recipe, loss=loss)
    expected = sum(value * count for value, count in seen) / sum(count for _, count in seen)
    assert fitted.history[0]["loss"] == pytest.approx(expected)


def test_progress_counts_every_step(some_digits):
    heard = []
    fitted = train(some_digits, report=heard.append)
    places = [(progress.epoch, progress.step) for progress in heard]
    expected = []
    for epoch in range(4):
        expected += [(epoch, step) for step in range(1, 5)] + [(epoch + 1, 0)]
    assert places == expected
    assert all(progress.epochs == 4 and progress.steps == 4 for progress in heard)
    assert heard[0].val_f1 is None and heard[-1].val_f1 == fitted.val.f1
    assert fitted.seconds == pytest.approx(sum(epoch["seconds"] for epoch in fitted.history))


def test_label_smoothing_is_that_of_the_paper():
    """Szegedy et al. 2016, equation 7: a share of the label goes to all classes alike."""
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    batch = Batch(torch.zeros(6, 3, 8, 8), labels, None)
    target = F.one_hot(labels, 5) * 0.8 + 0.2 / 5
    expected = -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(cross_entropy(0.2)(lambda images: logits, batch), expected)


def test_a_small_network_learns_the_digits(digits):
    torch.manual_seed(0)
    recipe = TrainConfig(epochs=8)
    fitted = fit(build(Toy().decode((1, 1, 1, 0)), 10), batches_of(digits, recipe), LOSS, recipe)
    assert fitted.val.f1 > 0.8
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"]
