#!/usr/bin/env bash
# Trains a policy with RVPO on this machine's CPU: ./scripts/demo.sh [options of `rvpo-verl demo`]. It is a tiny
# tool-calling one, or with --model smollm2 a pretrained language model.
set -euo pipefail
here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
source scripts/environment.sh
environment cpu
case " $* " in *" --model"*) nltk_data .venv ;; esac
cd "$here"
exec "$root/.venv/bin/rvpo-verl" demo "$@"
