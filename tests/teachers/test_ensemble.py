"""Ensembles of teachers: specs, means, disagreement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import UserError
from teachers.ensemble import EnsembleOutputs, TeacherEnsemble, disagreement
from teachers.output_cache import cache_outputs
from teachers.spec import parse_spec, split_side
from training.augment import Augmentation
from training.evaluate import logits_of, score_logits
from training.preprocess import IMAGENET
from training.signals import Signals

AUGMENTATION = Augmentation(flip=False)


def test_a_member_with_a_resolution_of_its_own():
    assert [name for name, _ in parse_spec("a@192*0.5,b")] == ["a@192", "b"]
    assert split_side("a@192") == ("a", 192) and split_side("runs/x@home") == ("runs/x@home", None)
    assert split_side("net:./a@2/weights.pt@96") == ("net:./a@2/weights.pt", 96)
    with pytest.raises(UserError, match="from 32 to 1024 pixels"):
        split_side("a@16")


HOW = {"resolution": 32, "normalization": IMAGENET}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path))


def test_specs_and_weights() -> None:
    assert parse_spec("a") == [("a", 1.0)]
    assert parse_spec("a,b, c,d") == [(name, 0.25) for name in "abcd"]
    assert parse_spec("a*0.7,b*0.3") == [("a", 0.7), ("b", 0.3)]
    assert parse_spec("runs/x*3,b") == [("runs/x", 0.75), ("b", 0.25)]
    assert parse_spec("net:./weights.pt*2") == [("net:./weights.pt", 1.0)]


@pytest.mark.parametrize("spec", ["", "a,", ",a", "a*", "a*x", "a*0,b", "a*-1,b", "a*nan", "*2"])
def test_a_malformed_spec_says_how_to_write_it(spec: str) -> None:
    with pytest.raises(UserError, match=r"a\*0\.7,b\*0\.3"):
        parse_spec(spec)


def test_logits_are_averaged_whatever_their_offset() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(5, 4), torch.randn(5, 4)
    outputs = [Signals(one, torch.ones(5, 2)), Signals(other + 9, torch.zeros(5, 3))]
    members = tuple((lambda *view, each=each: each) for each in outputs)
    together = EnsembleOutputs(members, (0.75, 0.25))(0, np.arange(5), torch.zeros(5, 3, 8, 8))
    # the weighted geometric mean of the probabilities
    mean = torch.softmax(one, 1) ** 0.75 * torch.softmax(other, 1) ** 0.25
    torch.testing.assert_close(torch.softmax(together.logits, 1), mean / mean.sum(1, keepdim=True))
    assert torch.equal(together.pooled, torch.tensor([[1.0, 1, 0, 0, 0]]).expand(5, 5))
    assert together.attention is None


def test_attention_is_averaged_over_the_levels_that_all_have() -> None:
    one, other = torch.rand(2, 3, 8, 8), torch.rand(2, 1, 8, 8)
    outputs = [Signals(torch.zeros(2, 4), None, maps) for maps in (one, 100 * other)]
    members = tuple((lambda *view, each=each: each) for each in outputs)
    together = EnsembleOutputs(members, (0.5, 0.5))(0, np.arange(2), torch.zeros(2, 3, 8, 8)).attention
    unit = [maps / maps.flatten(2).norm(dim=2)[..., None, None] for maps in (one[:, -1:], other)]
    torch.testing.assert_close(together, 0.5 * unit[0] + 0.5 * unit[1])


def test_two_of_the_same_are_like_one(teacher_of, tiny, some_digits) -> None:
    teacher = teacher_of(tiny, 0)
    alone = TeacherEnsemble((teacher,), (1.0,))
    twice = TeacherEnsemble((teacher, teacher), (0.5, 0.5))
    logits = logits_of(teacher.model, some_digits, some_digits.splits["test"], **HOW)
    expected = score_logits(logits, some_digits, some_digits.splits["test"])
    assert alone.evaluate(some_digits, "test") == twice.evaluate(some_digits, "test") == expected
    assert alone.name == "t0" and alone.digest == teacher.digest
    assert twice.name == "t0*0.5,t0*0.5"


def test_the_digest_holds_members_and_weights(teacher_of, tiny) -> None:
    one, other = teacher_of(tiny, 0), teacher_of(tiny, 1)
    teams = [
        TeacherEnsemble((one, other), (0.5, 0.5)),
        TeacherEnsemble((one, other), (0.6, 0.4)),
        TeacherEnsemble((one, replace(other, digest="other")), (0.5, 0.5)),
    ]
    assert len({team.digest for team in teams}) == 3


def test_disagreement_is_the_share_of_images_in_other_classes(teacher_of, tiny, some_digits) -> None:
    train = some_digits.splits["train"]
    stored = [cache_outputs(teacher_of(tiny, seed), some_digits, AUGMENTATION, 1) for seed in (0, 1)]
    classes = [outputs.rows(0, "logits")[train].argmax(axis=1) for outputs in stored]
    share = float((classes[0] != classes[1]).mean())
    assert 0 < share <= 1
    assert disagreement(stored, train) == pytest.approx(share)
    assert disagreement([stored[0], stored[0], stored[1]], train) == pytest.approx(2 * share / 3)
    assert disagreement(stored[:1], train) is None
