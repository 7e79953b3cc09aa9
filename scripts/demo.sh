#!/usr/bin/env bash
# Trains the bundled sample, exports the mesh and evaluates it. Arguments go to train.py: bash scripts/demo.sh seed=1
# The run's folder is runs/demo (runs/demo-2, ... where that exists), or the one of output=FOLDER.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

output=runs/demo
number=2
while [[ -e "$output" ]]; do
  output="runs/demo-$number"
  number=$((number + 1))
done
arguments=()
for argument in "$@"; do
  case "$argument" in
    output=*) output="${argument#output=}" ;;
    -* | resume=*)
      echo "error: $argument: scripts/demo.sh takes key=value for one fresh run; use python train.py" >&2
      exit 2
      ;;
    *) arguments+=("$argument") ;;
  esac
done

bash scripts/setup.sh
.venv/bin/python train.py scene=sample trainer=fast "output=$output" ${arguments[@]+"${arguments[@]}"}

echo
for name in mesh.ply report.html metrics.json; do
  [[ -s "$output/$name" ]] || { echo "error: $output/$name: expected the run to write it, found none" >&2; exit 1; }
  printf '%-13s %s\n' "${name%%.*}:" "$(realpath "$output/$name" 2>/dev/null || echo "$output/$name")"
done
