#!/usr/bin/env bash
# From one click to the object alone, on the bundled sample: cuts it out of every picture, trains, exports the mesh and
# evaluates it. Arguments go to train.py: bash scripts/demo.sh seed=1, or segmenter=precomputed to start from given masks.
# The run's folder is runs/demo (runs/demo-2, ... where that exists), or the one of output=FOLDER.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

output=runs/demo
number=2
while [[ -e "$output" ]]; do
  output="runs/demo-$number"
  number=$((number + 1))
done
start="one click: datasets/sample/prompts.json points at the jug in view 0; its masks in all views and its mesh follow"
arguments=()
for argument in "$@"; do
  case "$argument" in
    output=*)
      output="${argument#output=}"
      continue
      ;;
    -* | resume=*)
      echo "error: $argument: scripts/demo.sh takes key=value for one fresh run; use python train.py" >&2
      exit 2
      ;;
    segmenter=* | scene.masks=* | prompts.*) start="" ;; # another start
  esac
  arguments+=("$argument")
done

bash scripts/setup.sh
[[ -z "$start" ]] || echo "$start"
.venv/bin/python train.py scene=sample trainer=fast "output=$output" ${arguments[@]+"${arguments[@]}"}

echo
for name in mesh.ply report.html metrics.json; do
  [[ -s "$output/$name" ]] || { echo "error: $output/$name: expected the run to write it, found none" >&2; exit 1; }
  printf '%-13s %s\n' "${name%%.*}:" "$(realpath "$output/$name" 2>/dev/null || echo "$output/$name")"
done
if [[ -d "$output/masks" ]]; then
  printf '%-13s %s\n' "masks:" "$(realpath "$output/masks" 2>/dev/null || echo "$output/masks")"
fi
