#!/usr/bin/env bash
# The numbers under "Results" in the README: three searches, one teacher, three seeds with and without it.
# Usage: benchmarks/trashnet.sh DATA_DIR OUT_DIR   (runs in the repository; about an hour on two cores)
set -euo pipefail
data=$1 out=$2
minnow() { "${PYTHON:-.venv/bin/python}" cli.py "$@"; }
for strategy in random tpe nni-evolution; do
  minnow search --data "$data" --image-size 128 --resolution 96 --strategy "$strategy" \
    --limit 'macs<=20M' --trials 6 --confirm 0 --epochs 5 --out "$out/$strategy"
done
for seed in 0 1 2; do
  minnow distill --teacher tf_efficientnet_lite0 --teacher-epochs 10 --student "$out/tpe" \
    --epochs 30 --views 15 --seed "$seed" --out "$out/distilled-$seed"
  minnow train --model "$out/tpe" --data "$data" --image-size 128 \
    --epochs 30 --views 15 --seed "$seed" --out "$out/alone-$seed"
done
"${PYTHON:-.venv/bin/python}" benchmarks/summary.py "$out"/alone-? "$out"/distilled-?
