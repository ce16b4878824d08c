# Sourced by the scripts of trained_lines.py, which set $data, $side and $out.
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=.:benchmarks
search() {
  "$python" cli.py search --data "$data" --image-size "$side" --space elastic --teacher tf_efficientnet_lite0 \
    --teacher-epochs "${TEACHER_EPOCHS:-10}" "$@"
}
limit() { "$python" benchmarks/trained_lines.py "$out/run" "$1"; }
in_two_processes() {  # and once more, for the table of all lines
  "$@" --threads 1 &
  "$@" --threads 1
  wait
  "$@"
}
mkdir -p "$out"
