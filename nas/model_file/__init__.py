"""The model file: one YAML schema for every architecture."""

from nas.model_file.schema import ModelFile, parse_model, read_model
from nas.model_file.writer import model_content, model_text

__all__ = ["ModelFile", "model_content", "model_text", "parse_model", "read_model"]
