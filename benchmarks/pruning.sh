#!/usr/bin/env bash
# The elastic space against pruning the same teacher, at a part of the teacher's latency.
# Usage: benchmarks/pruning.sh DATA SIDE OUT_DIR [PART]   (in the repository; hours on two cores)
set -euo pipefail
data=$1 side=$2 out=$3 part=${4:-8}
source benchmarks/trained_lines.sh
[ -e "$out/run/supernet/weights.safetensors" ] || search --trials 1 --out "$out/run"
search --resume --out "$out/run" --trials 61 --limit "latency_ms<=$(limit "$part")"
in_two_processes "$python" benchmarks/pruning.py "$out/run" --out "$out/lines" --part "$part"
