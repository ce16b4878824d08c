"""Several processes that train together do what one would have done."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.config import TrainConfig
from core.errors import UserError
from core.runtime import check_alone, is_main, process_count
from nas.networks import build
from training.augment import Augmentation
from training.batches import Batches
from training.fit import cross_entropy, fit
from training.optimizer import schedule_by_recipe
from training.preprocess import IMAGENET
from training.processes import ALONE, Processes, SyncedBatchNorm2d, synced
from training.state import TrainingState
from training.step import DivergedError, halve_once, train_step

# SGD is linear in the gradient, so that rounding stays rounding; AdamW divides by the gradient's size, and
# where that is all rounding, so is the update.
RECIPE = TrainConfig(epochs=3, batch_size=50, learning_rate=0.05, views=2, optimizer="sgd", clip_grad=1.0)


def network() -> nn.Module:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)]
    return nn.Sequential(*body, nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10))


def batches_of(data, processes: Processes, batch_size: int = 50) -> Batches:
    augmentation = Augmentation(operations=1, flip=False)
    return Batches(data, 32, IMAGENET, augmentation, batch_size, 2, 0, processes=processes)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("affine", [True, False])
def test_synced_batch_norm_is_that_of_the_whole_batch(together, affine, count):
    """torch's own layer on all seven images, which fall into unequal parts."""
    torch.manual_seed(0)
    images = 100 + 5 * torch.randn(7, 4, 5, 3, dtype=torch.float64)
    wanted = torch.randn(7, 4, 5, 3, dtype=torch.float64)

    def layer() -> nn.BatchNorm2d:
        made = nn.BatchNorm2d(4, momentum=0.3, affine=affine, dtype=torch.float64)
        for index, weight in enumerate(made.parameters()):
            nn.init.constant_(weight, 0.5 + index)
        return made

    def run(processes: Processes) -> list[np.ndarray]:
        norm, mine = layer(), processes.part(np.arange(7))
        part = images[mine].clone().requires_grad_()
        with synced(norm, processes):
            for _ in range(2):
                given = norm(part)
            (given * wanted[mine]).square().sum().backward()
        gradients = [weight.grad for weight in norm.parameters()]
        if affine:
            processes.sum_(gradients)
        assert type(norm) is nn.BatchNorm2d and norm.num_batches_tracked == 2
        rows = [processes.gather(each.detach().numpy()) for each in (given, part.grad)]
        return [*rows, *(t.detach().numpy() for t in (norm.running_mean, norm.running_var, *gradients))]

    expected = run(ALONE)
    for found in together(run, count):
        assert len(found) == (6 if affine else 4)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_layers_are_plain_again_after_an_error_too():
    model = network()
    names = list(model.state_dict())
    with pytest.raises(KeyError), synced(model, Processes(0, 2)):
        assert sum(isinstance(layer, SyncedBatchNorm2d) for layer in model.modules()) == 2
        assert list(model.state_dict()) == names
        raise KeyError
    assert not any(isinstance(layer, SyncedBatchNorm2d) for layer in model.modules())


@pytest.mark.parametrize("count", [2, 3])
def test_the_gradient_is_that_of_one_process(together, some_digits, count):
    """Steps of 7 images: 4 and 3, or 3, 2 and 2."""
    few = some_digits.resplit(train=some_digits.splits["train"][:7])

    def run(processes: Processes) -> tuple[float, list[np.ndarray]]:
        batches = batches_of(few, processes, 7)
        state = TrainingState(network(), None, RECIPE, len(batches), schedule_by_recipe)
        with synced(state.model, processes):
            batch = next(batches.epoch(0))
            loss = train_step(state, batch, cross_entropy(0.1), RECIPE, 0, processes)
        return loss, [weight.grad.numpy() for weight in state.trained]

    loss, gradients = run(ALONE)
    for other_loss, others in together(run, count):
        assert other_loss == pytest.approx(loss, rel=1e-6)
        for one, other in zip(gradients, others, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)


def trained(data, processes: Processes, loss=None, **options):
    model, batches = network(), batches_of(data, processes)
    fitted = fit(model, batches, loss or cross_entropy(0.1), RECIPE, **options)
    assert not any(isinstance(layer, SyncedBatchNorm2d) for layer in fitted.model.modules())
    weights = {name: value.numpy() for name, value in fitted.model.state_dict().items()}
    return weights, [record["loss"] for record in fitted.history], fitted.val, fitted.rollbacks


def test_the_weights_are_those_of_one_process(together, some_digits):
    """Twelve steps of float32, whose sums are taken in another order: 1e-7 each, with room to grow."""
    weights, losses, val, _ = trained(some_digits, ALONE)
    one, other = together(lambda processes: trained(some_digits, processes))
    for name, value in weights.items():
        assert np.array_equal(one[0][name], other[0][name]), name  # to the bit: they never drift apart
        np.testing.assert_allclose(one[0][name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    assert one[1] == other[1] == pytest.approx(losses, rel=1e-5)
    assert one[2] == other[2] == val


@pytest.mark.parametrize("count", [2, 3])
def test_nothing_but_rounding_differs(together, some_digits, tiny, count):
    """A network as it is searched and the usual optimiser, in float64: rounding stays below 1e-8."""

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.network = build(tiny, 10).double()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images.double())

    recipe = TrainConfig(epochs=2, batch_size=50, views=2)

    def run(processes: Processes) -> dict[str, np.ndarray]:
        fitted = fit(Wide(), batches_of(some_digits, processes), cross_entropy(0.1), recipe)
        return {name: value.numpy() for name, value in fitted.model.state_dict().items()}

    alone = run(ALONE)
    for found in together(run, count):
        for name, value in alone.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-10, err_msg=name)


def test_a_nan_in_one_process_is_one_in_all(together, some_digits):
    def run(processes: Processes):
        calls = []

        def loss(model, batch):
            calls.append(None)
            value = F.cross_entropy(model(batch.images), batch.labels)
            return value * math.nan if len(calls) == 6 and processes.rank == 1 else value

        return trained(some_digits, processes, loss, on_divergence=halve_once(lambda line: None))

    one, other = together(run)
    assert one[3] == other[3] and "nan in epoch 2, step 2" in one[3][0]["error"]
    assert all(np.array_equal(one[0][name], other[0][name]) for name in one[0])

    def stopped(processes: Processes) -> str:
        def loss(model, batch):
            return model(batch.images).sum() * (math.nan if processes.main else 1.0)

        with pytest.raises(DivergedError) as raised:
            trained(some_digits, processes, loss)
        return str(raised.value)

    assert len(set(together(stopped))) == 1


def test_a_checkpoint_serves_any_number_of_processes(together, some_digits, tmp_path):
    class Cut(Exception):
        pass

    def cut(progress) -> None:
        if (progress.epoch, progress.step) == (1, 2):
            raise Cut

    path = tmp_path / "checkpoint.pt"

    def begin(processes: Processes) -> None:
        with pytest.raises(Cut):
            trained(some_digits, processes, checkpoint=path, report=cut)

    together(begin)
    assert path.exists()
    resumed, whole = trained(some_digits, ALONE, checkpoint=path), trained(some_digits, ALONE)
    for name, value in whole[0].items():
        np.testing.assert_allclose(resumed[0][name], value, rtol=1e-4, atol=1e-5)


def test_only_the_main_process_saves_and_a_full_disk_ends_all(together, some_digits, tmp_path):
    (tmp_path / "file").touch()

    def run(processes: Processes) -> str:
        with pytest.raises(UserError) as raised:
            trained(some_digits, processes, checkpoint=tmp_path / "file" / "checkpoint.pt")
        return str(raised.value)

    assert len(set(together(run))) == 1


def test_work_of_the_main_process(together):
    def run(processes: Processes) -> tuple:
        order = processes.on_main(lambda: f"from {processes.rank}")
        mine = processes.main_first(lambda: processes.rank)
        errors = []
        for method in (processes.on_main, processes.main_first):

            def fail() -> None:
                if processes.main:
                    raise UserError("one line")

            with pytest.raises(UserError) as raised:
                method(fail)
            errors.append(str(raised.value))
        return order, mine, errors

    assert together(run) == [("from 0", rank, ["one line"] * 2) for rank in range(2)]


def test_parts_make_the_whole_and_every_step_is_cut(digits):
    alone = list(batches_of(digits, ALONE).epoch(1))
    parts = [list(batches_of(digits, Processes(rank, 3)).epoch(1)) for rank in range(3)]
    for whole, *cut in zip(alone, *parts, strict=True):
        assert torch.equal(torch.cat([part.images for part in cut]), whole.images)
        assert torch.equal(torch.cat([part.labels for part in cut]), whole.labels)
        assert {part.step_size for part in cut} == {len(whole.labels)}
        assert sum(part.share for part in cut) == pytest.approx(1)
        assert whole.share == 1


def test_too_many_processes_for_the_images(some_digits):
    batches_of(some_digits, Processes(0, 25))
    with pytest.raises(UserError, match=r"26 processes.*at most 25, or raise train.batch_size"):
        batches_of(some_digits, Processes(0, 26))


def test_what_the_launcher_says(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    assert is_main() and process_count() == 1
    check_alone("search")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert process_count() == 1
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with pytest.raises(UserError, match="--multi_gpu instead of --cpu"):
        process_count()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert not is_main() and process_count() == 2
    with pytest.raises(UserError, match="set workers"):
        check_alone("search")
    with pytest.raises(UserError, match="export runs in one process"):
        check_alone("export")
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    assert is_main() and process_count() == 1  # a RANK without WORLD_SIZE is not a launcher's
