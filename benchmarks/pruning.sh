#!/usr/bin/env bash
# The elastic space against pruning the same teacher, at a part of the teacher's latency.
# Usage: benchmarks/pruning.sh DATA SIDE OUT_DIR [PART]   (in the repository; hours on two cores)
set -euo pipefail
data=$1 side=$2 out=$3 part=${4:-8}
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=.:benchmarks
search() {
  "$python" cli.py search --data "$data" --image-size "$side" --space elastic --teacher tf_efficientnet_lite0 \
    --teacher-epochs 10 --out "$out/run" "$@"
}
mkdir -p "$out"
[ -e "$out/run/supernet/weights.safetensors" ] || search --trials 1
search --resume --trials 61 --limit "latency_ms<=$("$python" benchmarks/trained_lines.py "$out/run" "$part")"
prune() { "$python" benchmarks/pruning.py "$out/run" --out "$out/lines" --part "$part" "$@"; }
prune --threads 1 &
prune --threads 1
wait
prune
