#!/usr/bin/env bash
# What images without labels are worth: a quarter of the labels, with and without the rest of the images.
# Usage: benchmarks/unlabelled.sh DATA OUT_DIR   (in the repository; hours on two cores)
# SPLITS="0 1 2", SEEDS="0 1", EPOCHS=32, TEACHER_EPOCHS=10, SIDE=128, MACS=20e6; finished students are kept.
set -euo pipefail
data=$1 out=$2 epochs=${EPOCHS:-32} side=${SIDE:-128} teacher=${TEACHER_EPOCHS:-10}
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=.:benchmarks
student() {  # NAME FOLDER EPOCHS TEACHER_EPOCHS ARGUMENTS: as many steps in every arm
  local run="$1-$seed" again=()
  [ -e "$run/student/model.safetensors" ] && return
  [ -e "$run/student/checkpoint.pt" ] && again=(--resume)
  "$python" cli.py distill --student "$out/network.yaml" --teacher tf_efficientnet_lite0 \
    --teacher-epochs "$4" --data "$2" --image-size "$side" --epochs "$3" --seed "$seed" --out "$run" "${again[@]}" "${@:5}"
}
for split in ${SPLITS:-0 1 2}; do
  "$python" benchmarks/unlabelled.py cut "$data" "$out" --split "$split" --side "$side" --macs "${MACS:-20e6}"
  at="$out/split-$split"
  for seed in ${SEEDS:-0 1}; do
    student "$at/quarter" "$at/quarter" $((4 * epochs)) $((4 * teacher))
    student "$at/unlabelled" "$at/quarter" "$epochs" $((4 * teacher)) --unlabelled "$at/rest"
    student "$at/all" "$at/all" "$epochs" "$teacher"
  done
done
"$python" benchmarks/unlabelled.py table "$out"
