# Sourced by the recipes of this folder: tool calling on RLLA-4k, after GDPO's published run.

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
K=${K:-2.0}                                     # risk coefficient, or {schedule:linear,from:0.5,to:2.0}
REWARD_MODE=${REWARD_MODE:-robust}              # strict scores as ToolRL, GDPO and verl do, bit by bit
# --------------------------------------------------------------------------------------------------------

source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

REWARD=(
  +rvpo=tool_calling
  "algorithm.rvpo.k=$K"
  "reward.rvpo.rewards.tool_call_format.kwargs.mode=$REWARD_MODE"
  "reward.rvpo.rewards.tool_call_correctness.kwargs.mode=$REWARD_MODE"
)
