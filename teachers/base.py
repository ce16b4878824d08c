"""What a teacher source must offer, and what it hands back."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn

    from training.preprocess import Normalization


@dataclass(frozen=True)
class PretrainedNetwork:
    """A network with its pretrained weights and its original head, ready to be fine-tuned.

    Attributes:
        name: What to call it, for instance ``tf_efficientnet_lite0``.
        model: Takes normalised float images ``(B, 3, resolution, resolution)``, returns logits.
        resolution: Side of its input in pixels.
        normalization: The mean and standard deviation its weights expect.
        digest: Hexadecimal hash of the name and of every weight.
        classes: Class names where it already tells a data set's classes apart, else ``None``.
        source: One line for people: where the weights came from.
        fixed: Whether it may take no other resolution.
        test_digest: of the test images of the data set it was trained on, where that is known.
    """

    name: str
    model: nn.Module
    resolution: int
    normalization: Normalization
    digest: str
    classes: tuple[str, ...] | None
    source: str
    fixed: bool = False
    test_digest: str | None = None


class TeacherSource(ABC):
    """A place that pretrained weights come from; the first line of a subclass's docstring is shown.

    Plugins register in the entry-point group ``minnow.teachers``.
    """

    name: ClassVar[str]

    @abstractmethod
    def find(self, spec: str) -> PretrainedNetwork | None:
        """Load what ``spec`` names.

        Args:
            spec: What the user typed after ``--teacher``.

        Returns:
            The network in eval mode, or ``None`` where the spec is none of this source's business.

        Raises:
            UserError: The spec is this source's, but what it names is missing, broken or foreign.
        """


def weights_digest(name: str, model: nn.Module) -> str:
    """Hash a name and all of a model's parameters and buffers into 64 hexadecimal digits."""
    import torch

    digest = hashlib.sha256(name.encode())
    for key, tensor in model.state_dict().items():
        digest.update(f"\n{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # A view as bytes serves every dtype, also those that NumPy does not know, such as bfloat16.
        plain = tensor.detach().cpu().contiguous().flatten()
        digest.update(memoryview(plain.view(torch.uint8).numpy()))
    return digest.hexdigest()
