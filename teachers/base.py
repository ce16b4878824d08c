"""Interface of teacher sources, and the pretrained network that they return."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from core.errors import UserError, one_line

if TYPE_CHECKING:
    from torch import nn

    from training.preprocess import Normalization

_MOST_TUNED = 40e6  # parameters; beyond, each step of fine-tuning takes seconds on a CPU
_MIN_RESOLUTION = 64  # pixels; an ImageNet network sees little in smaller images


@dataclass(frozen=True)
class PretrainedNetwork:
    """A network with its pretrained weights and its original head, ready to be fine-tuned.

    Attributes:
        name: for people, for instance ``tf_efficientnet_lite0``.
        model: takes normalised float images ``(B, 3, resolution, resolution)``, returns logits.
        resolution: side of its input, pixels.
        normalization: the mean and standard deviation its weights expect.
        digest: hexadecimal hash of the name and of every weight.
        classes: class names if it was trained on a data set of the user, else ``None``.
        source: origin of the weights, one line for people.
        fixed: whether it takes no other resolution.
        patch: side of its patches, pixels, if it is a transformer whose position embeddings are resampled
            for other resolutions.
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
    patch: int | None = None
    test_digest: str | None = None

    def default_resolution(self, stored: int) -> int:
        """Return the side of the input for fine-tuning, pixels.

        It is the side of the pretraining, but not far above that of the images: enlarging small images
        costs time and adds nothing. A transformer gets whole patches.

        Args:
            stored: side of the images, pixels.
        """
        if self.fixed:
            return self.resolution
        patch = self.patch or 1
        return min(self.resolution, math.ceil(max(_MIN_RESOLUTION, stored) / patch) * patch)

    def take_resolution(self, resolution: int) -> None:
        """Make the network take square images of ``resolution`` pixels, or check that it does.

        Raises:
            UserError: it does not.
        """
        if resolution == self.resolution:
            return
        if self.patch is not None:
            if resolution % self.patch:
                raise UserError(
                    f"teacher {self.name} takes no images of {resolution} px: it has patches of "
                    f"{self.patch} px; leave out teacher.resolution, or set it to a multiple of "
                    f"{self.patch}"
                )
            cast(Any, self.model).set_input_size(img_size=(resolution, resolution))
            return
        import torch

        try:
            with torch.no_grad():
                self.model.eval()(torch.zeros(1, 3, resolution, resolution))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"teacher {self.name} takes no images of {resolution} px ({one_line(error)}); "
                f"leave out teacher.resolution, or set it to {self.resolution}"
            ) from None

    def head_alone(self) -> str | None:
        """Return why only a new head should be trained, in a few words; ``None``: train all of it."""
        if getattr(self.model, "num_classes", None) == 0:
            return "pretrained without classes"
        params = sum(parameter.numel() for parameter in self.model.parameters())
        return f"{params / 1e6:.0f} M parameters" if params > _MOST_TUNED else None


class TeacherSource(ABC):
    """A source of pretrained weights; lists show the first paragraph of a subclass's docstring.

    Plugins register in the entry-point group ``minnow.teachers``.
    """

    name: ClassVar[str]

    @abstractmethod
    def find(self, spec: str) -> PretrainedNetwork | None:
        """Load the network that ``spec`` names.

        Args:
            spec: name or path of a teacher, as the user gave it.

        Returns:
            The network in eval mode, or ``None`` where this source does not know the spec.

        Raises:
            UserError: this source knows the spec, but the network is missing, broken or of another kind.
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
