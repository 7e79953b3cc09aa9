#!/usr/bin/env bash
# Cuts one object out of DTU's scan 55 with Segment Anything, from a click, and reconstructs it:
#
#   bash scripts/train_dtu55.sh [OVERRIDES]        such as scene.downscale=2 trainer=fast seed=1
#
# Expected, as NTO3D expects it, in the current folder:
#   datasets/dtu/dtu_scan55/                 cameras_sphere.npz and image/ (DTU as NeuS offers it)
#   datasets/dtu/dtu_scan55/anno_box.json    the click: {"frames": [{"index": 0, "point": [[x, y]], "label": [1]}]}
#   sam_vit_h_4b8939.pth                     weights of Segment Anything (or in weights/ beside train.py)
# What is missing is said, each in a line, and the exit code is 2. scene.path=, prompts.*= and segmenter.checkpoint= name
# others. An active environment that has the requirements is used, else .venv is made.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

scene=datasets/dtu/dtu_scan55
checkpoint=sam_vit_h_4b8939.pth
segmenter=sam
prompts=""
for argument in "$@"; do
  case "$argument" in
    scene.path=*) scene="${argument#scene.path=}" ;;
    segmenter.checkpoint=*) checkpoint="${argument#segmenter.checkpoint=}" ;;
    segmenter=*) segmenter="${argument#segmenter=}" ;;
    prompts.*=*) prompts=given ;;
    -* | resume=*)
      echo "error: $argument: scripts/train_dtu55.sh takes key=value for one fresh run; use python train.py" >&2
      exit 2
      ;;
  esac
done

missing=0
lacks() { # WHAT, WHAT TO DO
  echo "error: $1: expected $2" >&2
  missing=1
}
# Whether one of the files is there
any() {
  local file
  for file in "$@"; do
    [[ ! -e "$file" ]] || return 0
  done
  return 1
}

data="fetch data_DTU.zip (the README of github.com/Totoro97/NeuS links it) and move its dtu_scan55 to $scene"
annotate="python $root/scripts/annotate.py 'scene=$scene' view=0 'points=[[x,y]]' 'out=$scene/anno_box.json'"
if [[ ! -d "$scene" ]]; then
  lacks "$scene" "the pictures and cameras of DTU's scan 55, found no such folder; $data"
else
  any "$scene"/cameras{_sphere,,_large}.npz || lacks "$scene/cameras_sphere.npz" "DTU's cameras, found no such file; $data"
  any "$scene"/image{,s} || lacks "$scene/image" "DTU's pictures, found no such folder; $data"
fi
if [[ "$segmenter" != precomputed && -z "$prompts" && ! -e "$scene/anno_box.json" ]]; then
  lacks "$scene/anno_box.json" "a click on the object, found no such file; write it: $annotate"
fi
if [[ "$segmenter" == sam ]] && ! any "$checkpoint" "$root/weights/$checkpoint"; then
  lacks "$checkpoint" "weights of Segment Anything (2.4 GB), found none here nor in $root/weights; fetch them: python $root/scripts/fetch_weights.py sam_vit_h_4b8939 folder=."
fi
[[ "$missing" == 0 ]] || exit 2

has_requirements() {
  python - 2>/dev/null <<'PYTHON'
import sys
from importlib.util import find_spec

sys.exit(not all(find_spec(name) for name in ("hydra", "segment_anything", "torch", "warp")))
PYTHON
}
python=python
if [[ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]] || ! has_requirements; then
  bash "$root/scripts/setup.sh"
  python="$root/.venv/bin/python"
fi

arguments=(experiment=dtu_quality "scene.path=$scene" "segmenter=$segmenter" "segmenter.checkpoint=$checkpoint")
[[ -n "$prompts" || "$segmenter" == precomputed ]] || arguments+=("prompts.file=$scene/anno_box.json")
exec "$python" "$root/train.py" "${arguments[@]}" "$@"
