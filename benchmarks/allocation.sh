#!/usr/bin/env bash
# Where the time should go at a part of the teacher's latency: two supernets, none, and longer trainings.
# Usage: benchmarks/allocation.sh DATA SIDE OUT_DIR [PART]   (in the repository; hours on two cores)
set -euo pipefail
data=$1 side=$2 out=$3 part=${4:-8}
source benchmarks/trained_lines.sh
[ -e "$out/run/supernet/weights.safetensors" ] || search --trials 1 --out "$out/run"
near=$out/near$part
if [ ! -e "$near/supernet/weights.safetensors" ]; then
  search --trials 1 --evaluator supernet --limit "latency_ms<=$(limit "$part")" --out "$near"
fi
in_two_processes "$python" benchmarks/allocation.py "$out/run" --out "$out/lines" --part "$part" \
  --arm supernet:32 teacher:32 "$near/supernet:32" teacher:96 "$near/supernet:96"
