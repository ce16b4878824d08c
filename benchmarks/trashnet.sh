#!/usr/bin/env bash
# The numbers under "Results" in the README: three searches, one teacher, three seeds with and without it.
# Usage: benchmarks/trashnet.sh DATA_DIR OUT_DIR   (runs in the repository; about 20 minutes on two cores)
set -euo pipefail
data=$1 out=$2
minnow() { "${PYTHON:-.venv/bin/python}" cli.py "$@"; }
for strategy in random tpe nni-evolution; do
  minnow search --data "$data" --image-size 128 --resolution 96 --strategy "$strategy" \
    --limit 'macs<=5M' --trials 6 --epochs 3 --out "$out/$strategy"
done
for seed in 0 1 2; do
  minnow train --model "$out/tpe" --data "$data" --image-size 128 --epochs 15 --seed "$seed" --out "$out/alone-$seed"
  minnow distill --teacher tf_efficientnet_lite0 --teacher-epochs 4 --student "$out/tpe" \
    --epochs 15 --seed "$seed" --out "$out/distilled-$seed"
done
"${PYTHON:-.venv/bin/python}" benchmarks/summary.py "$out"/alone-? "$out"/distilled-?
