#!/usr/bin/env bash
# What a search adds at 1/4 to 1/32 of the teacher's latency: one supernet, four limits. EVALUATOR=inherit: none.
# Usage: benchmarks/pays.sh DATA SIDE OUT_DIR [SPLIT_SEED]   (in the repository; hours on two cores)
set -euo pipefail
data=$1 side=$2 out=$3 seed=${4:-0}
source benchmarks/trained_lines.sh
[ -e "$out/run/study.journal" ] ||
  search --set "data.split_seed=$seed" --evaluator "${EVALUATOR:-supernet}" --trials 1 --out "$out/run"
trials=1
for part in 4 8 16 32; do
  trials=$((trials + 60))
  "$python" cli.py search --resume --out "$out/run" --trials "$trials" --limit "latency_ms<=$(limit "$part")"
done
in_two_processes "$python" benchmarks/pays.py "$out/run" --out "$out/lines"
