#!/usr/bin/env bash
# Runs the tests: ./scripts/test.sh [options of pytest, such as -m "not launcher"]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment test
.venv/bin/ruff check .
.venv/bin/ruff format --check .
exec timeout 1800 .venv/bin/python -m pytest "$@"
