#!/usr/bin/env bash
# Everything a change must pass: ruff, mypy, pytest. Arguments go to pytest: bash scripts/test.sh -k hashgrid
# Tests marked slow or gpu run only when asked for: bash scripts/test.sh -m slow
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh dev
export PATH="$PWD/.venv/bin:$PATH"

ruff check
ruff format --check
mypy
# Two processes of one thread each are faster than one with two, and a sum's order does not depend on the machine.
# Whole files to a process, so that what a file prepares is prepared once. Later options win: -m, -n and --dist can be given.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}"
python -m pytest -n 2 --dist loadfile -m "not slow and not gpu" "$@"
