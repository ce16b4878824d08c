"""The model file: one YAML schema for every architecture."""

from nas.model_file.schema import ModelFile, model_text, read_model

__all__ = ["ModelFile", "model_text", "read_model"]
