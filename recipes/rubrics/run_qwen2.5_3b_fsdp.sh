#!/usr/bin/env bash
# Rubrics with Qwen2.5-3B: FSDP2 and vLLM on one node of 8 GPUs, the judge beside it. The numbers: settings.sh.
#   DATASET=science JUDGE_URL=http://judge:8000/v1 ./run_qwen2.5_3b_fsdp.sh [OPTION=VALUE ...]
set -euo pipefail

MODEL_PATH=${MODEL_PATH:-Qwen/Qwen2.5-3B}

source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

launch "${REWARD[@]}" "${ALGORITHM[@]}" "${DATA[@]}" "${MODEL[@]}" "${ACTOR[@]}" "${FSDP[@]}" "${ROLLOUT[@]}" \
  "${TRAINER[@]}" "$@"
