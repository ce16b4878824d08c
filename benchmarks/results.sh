#!/usr/bin/env bash
# The tables of students in docs/results.md: alone and distilled, and by loss and views.
# Usage: benchmarks/results.sh TRASHNET CIFAR10_SMALL OUT_DIR   (in the repository; hours on two cores)
#
# The students were found by these searches, the first being its best network of up to 4 M MACs (trial 6):
#   cli.py search --data TRASHNET --image-size 128 --resolution 64 --limit 'macs<=12M' --trials 10 --confirm 2 --epochs 5
#   cli.py search --data CIFAR10_SMALL --resolution 32 --limit 'macs<=8M' --trials 8 --confirm 1 --epochs 4   (trial 2)
set -euo pipefail
trashnet=$1 cifar=$2 out=$3
train() { "${PYTHON:-.venv/bin/python}" "benchmarks/$1.py" "${@:2}" --teacher tf_efficientnet_lite0; }
compare() { train distillation "$@" --arm alone alone --arm distilled; }
mkdir -p "$out"
student=(--image-size 128 --model benchmarks/student_trashnet.yaml --teacher-epochs 10)
compare "$trashnet" "${student[@]}" --epochs 300 --out "$out/trashnet.jsonl"
compare "$trashnet" "${student[@]}" --epochs 600 --views 75 --out "$out/trashnet_600.jsonl"
student=(--model benchmarks/student_cifar10-small.yaml)
compare "$cifar" "${student[@]}" --epochs 40 --views 16 --out "$out/cifar.jsonl"
train distillation "$cifar" "${student[@]}" --epochs 40 --views 16 --seeds 3 --out "$out/losses.jsonl" \
  --arm "plain kd, one view" loss.features=none "loss.options={temperature: 4}" augment.cutmix=0.0 train.views=1 \
  --arm "kd" loss.features=none \
  --arm "kd + hint" \
  --arm "kd + hint, 5 views" train.views=5 \
  --arm "kd + hint, 40 views" train.views=40 \
  --arm "dkd + hint" loss.name=dkd \
  --arm "dist + hint" loss.name=dist \
  --arm "ls + hint" loss.name=ls \
  --arm "kd + rkd" loss.features=rkd loss.feature_weight=1 \
  --arm "kd + at" loss.features=at loss.feature_weight=1
train ranking "$trashnet" --image-size 128 --resolution 64 --teacher-epochs 10 --networks 16 --out "$out/ranking.jsonl"
train timm_kd "$cifar" "${student[@]}" --seconds "${SECONDS_OF_A_TRAINING:-240}" --out "$out/timm.jsonl"
