#!/usr/bin/env bash
# Tool calling with Qwen2.5-1.5B-Instruct: FSDP2 and vLLM on one node of 8 GPUs. The numbers: settings.sh.
#   ALGO=gdpo TRAIN_FILES=rlla/train.parquet VAL_FILES=rlla/test.parquet ./run_qwen2.5_1.5b_fsdp.sh [OPTION=VALUE ...]
set -euo pipefail

MODEL_PATH=${MODEL_PATH:-Qwen/Qwen2.5-1.5B-Instruct}

source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

launch "${REWARD[@]}" "${ALGORITHM[@]}" "${DATA[@]}" "${MODEL[@]}" "${ACTOR[@]}" "${FSDP[@]}" "${ROLLOUT[@]}" \
  "${TRAINER[@]}" "$@"
