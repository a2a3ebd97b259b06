#!/usr/bin/env bash
# Trains a tiny tool-calling policy with RVPO on this machine's CPU: ./scripts/demo.sh [options of `rvpo-verl demo`]
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
source scripts/environment.sh
environment cpu
cd "$here"
exec "$root/.venv/bin/rvpo-verl" demo "$@"
