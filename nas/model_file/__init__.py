"""The model file: one YAML schema for every architecture."""

from nas.model_file.schema import ModelFile, model_content, model_text, parse_model, read_model

__all__ = ["ModelFile", "model_content", "model_text", "parse_model", "read_model"]
