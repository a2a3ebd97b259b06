#!/usr/bin/env bash
# Tool calling on RLLA-4k, after GDPO's published run. README.md states the source of each number.
#   ALGO=gdpo recipes/tool_calling.sh 1.5b [OPTION=VALUE ...]
set -euo pipefail

# SIZE  policy                        engine  rollout TP  offload  actor TP
SIZES='
  1.5b  Qwen/Qwen2.5-1.5B-Instruct    fsdp2   1           False    -
  3b    Qwen/Qwen2.5-3B-Instruct      fsdp2   1           False    -
'

# ------------------------------------------- user-adjustable -------------------------------------------
TASK=tool_calling
TRAIN_FILES=${TRAIN_FILES:-data/rlla_4k/train.parquet}
VAL_FILES=${VAL_FILES:-data/rlla_4k/test.parquet}
MAX_PROMPT_LENGTH=${MAX_PROMPT_LENGTH:-2048}
MAX_RESPONSE_LENGTH=${MAX_RESPONSE_LENGTH:-1024}

TRAIN_BATCH_SIZE=${TRAIN_BATCH_SIZE:-512}
PPO_MINI_BATCH_SIZE=${PPO_MINI_BATCH_SIZE:-128}
GROUP_SIZE=${GROUP_SIZE:-4}
TOTAL_EPOCHS=${TOTAL_EPOCHS:-15}
SAVE_FREQ=${SAVE_FREQ:-10}
TEST_FREQ=${TEST_FREQ:-10}

LR=${LR:-1e-6}
ENTROPY_COEFF=${ENTROPY_COEFF:-0.001}
K=${K:-1.0}                                     # risk coefficient, or {schedule:linear,from:0.5,to:2.0}
REWARD_MODE=${REWARD_MODE:-robust}              # strict gives the scores of ToolRL, GDPO and verl
# --------------------------------------------------------------------------------------------------------

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

launch \
  +rvpo=tool_calling \
  "reward.rvpo.rewards.tool_call_format.kwargs.mode=$REWARD_MODE" \
  "reward.rvpo.rewards.tool_call_correctness.kwargs.mode=$REWARD_MODE" \
  "${@:2}"
