#!/usr/bin/env bash
# What a search adds at 1/4 to 1/32 of the teacher's latency: one supernet, four limits.
# Usage: benchmarks/pays.sh DATA SIDE OUT_DIR [SPLIT_SEED]   (in the repository; hours on two cores)
set -euo pipefail
data=$1 side=$2 out=$3 seed=${4:-0}
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=.:benchmarks
pays() { "$python" benchmarks/pays.py "$out/run" --out "$out/lines" "$@"; }
limit() { "$python" benchmarks/trained_lines.py "$out/run" "$1"; }
mkdir -p "$out"
if [ ! -e "$out/run/supernet/weights.safetensors" ]; then
  "$python" cli.py search --data "$data" --image-size "$side" --set "data.split_seed=$seed" --space elastic \
    --teacher tf_efficientnet_lite0 --teacher-epochs 10 --trials 1 --out "$out/run"
fi
trials=1
for part in 4 8 16 32; do
  trials=$((trials + 60))
  "$python" cli.py search --resume --out "$out/run" --trials "$trials" --limit "latency_ms<=$(limit "$part")"
done
pays --threads 1 &
pays --threads 1
wait
pays
