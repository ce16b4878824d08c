#!/usr/bin/env bash
# What a search adds at 1/4 to 1/32 of the teacher's latency: one supernet, four limits (docs/results.md).
# Usage: benchmarks/pays.sh DATA SIDE OUT_DIR [SPLIT_SEED]   (in the repository; hours on two cores)
set -euo pipefail
data=$1 side=$2 out=$3 seed=${4:-0}
python=${PYTHON:-.venv/bin/python}
mkdir -p "$out"
teacher_ms() {
  "$python" - "$out/run" <<'PY'
import sys
from pathlib import Path
from deploy.architecture_latency import measure_architecture
from distill.supernet import find_supernet
supernet = find_supernet(Path(sys.argv[1]))
print(measure_architecture(supernet.base, supernet.classes).median_ms)
PY
}
if [ ! -e "$out/run/supernet/weights.safetensors" ]; then
  "$python" cli.py search --data "$data" --image-size "$side" --set "data.split_seed=$seed" --space elastic \
    --teacher tf_efficientnet_lite0 --teacher-epochs 10 --trials 1 --out "$out/run"
fi
whole=$(teacher_ms) trials=1
for part in 4 8 16 32; do
  trials=$((trials + 60))
  limit=$("$python" -c "print(f'{$whole / $part:.4f}')")
  "$python" cli.py search --resume --out "$out/run" --trials "$trials" --limit "latency_ms<=$limit"
done
PYTHONPATH=.:benchmarks "$python" benchmarks/pays.py "$out/run" --out "$out/lines" --threads 1 &
PYTHONPATH=.:benchmarks "$python" benchmarks/pays.py "$out/run" --out "$out/lines" --threads 1
wait
PYTHONPATH=.:benchmarks "$python" benchmarks/pays.py "$out/run" --out "$out/lines"
