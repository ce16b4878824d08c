"""Names of the files of a trained model, for code that must not import torch."""

WEIGHTS_FILE = "model.safetensors"
ARCHITECTURE_FILE = "architecture.yaml"
LABELS_FILE = "labels.txt"
CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.json"
CHECKSUMS_FILE = "checksums.sha256"
STUDENT_FOLDER = "student"  # of a run directory
ONNX_FILE = "model.onnx"  # beside the weights
