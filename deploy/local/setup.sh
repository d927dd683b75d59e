#!/usr/bin/env bash
# Builds an environment from a lock: setup.sh [.venv [requirements.lock]]; called by make, which runs it again only
# when its inputs change.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${1:-.venv}
lock=${2:-requirements.lock}

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3 python; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "setup: Python must be 3.11 or 3.12. Got $(python3 --version 2>/dev/null || echo none); install one, or name it: make PYTHON=/path/to/python3.11" >&2
  exit 1
}

python=$(find_python)
if [ ! -x "$venv"/bin/python ] || ! "$venv"/bin/python -c '' 2>/dev/null; then
  echo "setup: creating $venv with $("$python" --version)"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi
"$venv"/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
echo "setup: installing the pinned packages (a few minutes where they must be downloaded)"
"$venv"/bin/uv pip install --quiet --python "$venv"/bin/python --require-hashes -r "$lock"
"$venv"/bin/uv pip install --quiet --python "$venv"/bin/python --no-deps --no-build-isolation --editable .
"$venv"/bin/python deploy/local/prepare.py
