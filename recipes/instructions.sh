#!/usr/bin/env bash
# Verifiable instructions, after IF-RLVR's published recipe: every constraint of a prompt is a reward, checked by a
# program. README.md states the source of each number.
#   recipes/instructions.sh 7b [OPTION=VALUE ...]
set -euo pipefail

# SIZE  policy                        engine  rollout TP  offload  actor TP
SIZES='
  1.5b  Qwen/Qwen2.5-1.5B-Instruct    fsdp2   1           False    -
  3b    Qwen/Qwen2.5-3B-Instruct      fsdp2   1           False    -
  7b    Qwen/Qwen2.5-7B-Instruct      fsdp2   1           False    -
'

# ------------------------------------------- user-adjustable -------------------------------------------
TASK=instructions
TRAIN_FILES=${TRAIN_FILES:-data/if-multi/train.parquet}
VAL_FILES=${VAL_FILES:-data/instructions/val.parquet}
MAX_PROMPT_LENGTH=${MAX_PROMPT_LENGTH:-2048}
MAX_RESPONSE_LENGTH=${MAX_RESPONSE_LENGTH:-2048}

TRAIN_BATCH_SIZE=${TRAIN_BATCH_SIZE:-48}
PPO_MINI_BATCH_SIZE=${PPO_MINI_BATCH_SIZE:-48}
GROUP_SIZE=${GROUP_SIZE:-16}
TOTAL_STEPS=${TOTAL_STEPS:-2000}
TOTAL_EPOCHS=${TOTAL_EPOCHS:-2}                 # enough for TOTAL_STEPS
SAVE_FREQ=${SAVE_FREQ:-100}
TEST_FREQ=${TEST_FREQ:-100}

LR=${LR:-5e-7}
USE_KL_LOSS=${USE_KL_LOSS:-True}
KL_LOSS_COEF=${KL_LOSS_COEF:-0.01}
K=${K:-2.0}                                     # risk coefficient, or {schedule:linear,from:0.5,to:2.0}
MODE=${MODE:-strict}                            # strict | loose
CUT_REASONING=${CUT_REASONING:-False}           # True: check only what follows </think>
# --------------------------------------------------------------------------------------------------------

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

launch \
  +rvpo=instructions \
  "reward.rvpo.rewards.instructions.kwargs.mode=$MODE" \
  "reward.rvpo.rewards.instructions.kwargs.cut_reasoning=$CUT_REASONING" \
  "${@:2}"
