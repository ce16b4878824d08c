#!/usr/bin/env bash
# The tables of students that inherit in docs/results.md: one supernet, searched under three limits.
# Usage: benchmarks/elastic.sh TRASHNET OUT_DIR   (in the repository; some six hours on two cores)
set -euo pipefail
data=$1 out=$2
python=${PYTHON:-.venv/bin/python}
search() { "$python" cli.py search "$@" --out "$out/run"; }
students() { PYTHONPATH=.:benchmarks "$python" benchmarks/elastic.py "$out/run" "$@"; }
mkdir -p "$out"
search --data "$data" --image-size 128 --space elastic --teacher tf_efficientnet_lite0 --teacher-epochs 10 \
  --set supernet.sizes=all --trials 60 --limit 'latency_ms<=0.85' --limit 'params<=844k'
students --out "$out/quarter.jsonl" --epochs 32
search --resume --trials 100 --limit 'latency_ms<=1.7'
students --out "$out/half.jsonl" --epochs 60 --arm found
search --resume --trials 130 --limit 'latency_ms<=0.42'
students --out "$out/eighth.jsonl" --epochs 32 --arm found
"$python" cli.py bench ranking "$out/run"
