#!/usr/bin/env bash
# Runs the quick tests with the lowest versions that pyproject.toml admits: ./scripts/test_lowest.sh [options of pytest]
# torch and verl stay at the versions with which the CPU backend runs; the contract tests of older verl are those of
# scripts/test_versions.sh. ENVIRONMENTS is the folder for the environment (.venvs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

path=${ENVIRONMENTS:-.venvs}/lowest
"$(python_between 10 13)" -m venv --clear "$path"
install "$path" "pip>=24.1" uv torch==2.13.0
"$path/bin/uv" pip compile --quiet --resolution lowest-direct --extra test --python "$path/bin/python" \
  --constraint <(printf 'torch==2.13.0\nverl==0.9.1\n') --no-annotate --no-header pyproject.toml |
  grep -Ev '^(torch|triton|nvidia|cuda)[-=]' >"$path/requirements.txt"
install "$path" --no-deps -r "$path/requirements.txt"
install "$path" --no-deps -e .
nltk_data "$path"
timeout 4800 "$path/bin/python" -m pytest -q -p no:cacheprovider -m "not launcher and not vllm" "$@"
