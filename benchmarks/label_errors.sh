#!/usr/bin/env bash
# How well label errors are found: teachers and students trained on copies of a data set with flipped labels.
# Usage: benchmarks/label_errors.sh DATA OUT_DIR   (in the repository; half an hour on two cores)
# SEEDS="0 1 2", EPOCHS=12; finished students are kept.
set -euo pipefail
data=$1 out=$2
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=.:benchmarks
for seed in ${SEEDS:-0 1 2}; do
  "$python" benchmarks/label_errors.py flip "$data" "$out" --seed "$seed"
  [ -e "$out/run-$seed/student/model.safetensors" ] && continue
  "$python" cli.py distill --data "$out/flips-$seed" --image-size 128 --student "$out/network.yaml" \
    --teacher tf_efficientnet_lite0 --epochs "${EPOCHS:-12}" --seed "$seed" --out "$out/run-$seed"
done
"$python" benchmarks/label_errors.py table "$out"
