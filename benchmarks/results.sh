#!/usr/bin/env bash
# The table under "Results" in the README: students alone and distilled, on the same seeds.
# Usage: benchmarks/results.sh TRASHNET CIFAR10_SMALL OUT_DIR   (in the repository; hours on two cores)
#
# The students were found by these searches, the first being its best network of up to 4 M MACs (trial 6):
#   cli.py search --data TRASHNET --image-size 128 --resolution 64 --limit 'macs<=12M' --trials 10 --confirm 2 --epochs 5
#   cli.py search --data CIFAR10_SMALL --resolution 32 --limit 'macs<=8M' --trials 8 --confirm 1 --epochs 4   (trial 2)
set -euo pipefail
trashnet=$1 cifar=$2 out=$3
compare() {
  "${PYTHON:-.venv/bin/python}" benchmarks/distillation.py "$@" --teacher tf_efficientnet_lite0 \
    --arm alone alone --arm distilled
}
mkdir -p "$out"
compare "$trashnet" --image-size 128 --model benchmarks/student_trashnet.yaml --teacher-epochs 10 \
  --epochs 300 --out "$out/trashnet.jsonl"
compare "$cifar" --model benchmarks/student_cifar10-small.yaml --epochs 40 --views 16 --out "$out/cifar.jsonl"
