#!/usr/bin/env bash
# Makes .venv and installs the requirements, or does nothing where that is done: bash scripts/setup.sh [dev]
# With "dev" the tools for the tests are installed, too. An interrupted installation is finished by the next call.
# PYTHON=/path/to/python chooses the interpreter (3.11 or newer).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "error: $1" >&2
  exit 2
}

new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python; do
    if new_enough "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail "expected Python 3.11 or newer as python3.11 or python3 (or PYTHON=/path/to/python), found none"
}

case "${1:-}" in
  "") files=(requirements.txt) ;;
  dev) files=(requirements.txt requirements-dev.txt) ;;
  *) fail "scripts/setup.sh: expected nothing or dev, got $1" ;;
esac

# A stamp names the files that are installed; those of the tests include the others
hash_of() {
  cat "$@" | cksum | tr -d ' '
}
dev_stamp=".venv/.stamp-dev-$(hash_of requirements.txt requirements-dev.txt)"
stamp="$dev_stamp"
[[ "${1:-}" == dev ]] || stamp=".venv/.stamp-$(hash_of requirements.txt)"

if [[ -e "$stamp" || -e "$dev_stamp" ]] && .venv/bin/python -c "" 2>/dev/null; then
  exit 0
fi

# Absent, cut off (pip trusts what half an installation left behind, so it starts again), or without its interpreter
marker=.venv/.installing
if [[ -e "$marker" ]] || ! .venv/bin/python -m pip --version >/dev/null 2>&1 || ! new_enough .venv/bin/python; then
  python="$(find_python)"
  echo "making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv || fail "cannot make .venv (on Debian and Ubuntu: apt install python3-venv)"
fi
rm -f .venv/.stamp-*
touch "$marker"
# A download that fails has installed nothing yet: the next call may go on with what is there
install() {
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" || {
    rm -f "$marker"
    fail "installing $* failed (see above); the next call goes on"
  }
}

arguments=()
for file in "${files[@]}"; do
  arguments+=(-r "$file")
done
echo "installing ${files[*]} into .venv (minutes, once)"
# torch first, then everything else at once: one after the other, a later package would move an earlier pin
install "$(grep '^torch==' requirements.txt)"
install "${arguments[@]}"
rm -f "$marker"
touch "$stamp"
