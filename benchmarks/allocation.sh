#!/usr/bin/env bash
# Where the time should go at a part of the teacher's latency: two supernets, none, and longer trainings.
# Usage: benchmarks/allocation.sh DATA SIDE OUT_DIR [PART]   (in the repository; hours on two cores)
set -euo pipefail
data=$1 side=$2 out=$3 part=${4:-8}
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=.:benchmarks
search() {
  "$python" cli.py search --data "$data" --image-size "$side" --space elastic --teacher tf_efficientnet_lite0 \
    --teacher-epochs 10 --trials 1 "$@"
}
mkdir -p "$out"
[ -e "$out/run/supernet/weights.safetensors" ] || search --out "$out/run"
near=$out/near$part
if [ ! -e "$near/supernet/weights.safetensors" ]; then
  limit=$("$python" benchmarks/trained_lines.py "$out/run" "$part")
  search --limit "latency_ms<=$limit" --out "$near"
fi
compare() {
  "$python" benchmarks/allocation.py "$out/run" --out "$out/lines" --part "$part" \
    --arm supernet:32 teacher:32 "$near/supernet:32" teacher:96 "$near/supernet:96" "$@"
}
compare --threads 1 &
compare --threads 1
wait
compare
