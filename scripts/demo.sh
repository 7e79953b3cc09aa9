#!/usr/bin/env bash
# Trains the bundled sample, exports the mesh and evaluates it. Arguments go to train.py: bash scripts/demo.sh seed=1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh

output=runs/demo
number=2
while [[ -e "$output" ]]; do
  output="runs/demo-$number"
  number=$((number + 1))
done
.venv/bin/python train.py scene=sample trainer=fast "output=$output" "$@"

echo
for name in mesh.ply report.html metrics.json; do
  [[ -s "$output/$name" ]] || { echo "error: $output/$name: expected the run to write it, found none" >&2; exit 1; }
  printf '%-13s %s\n' "${name%%.*}:" "$PWD/$output/$name"
done
