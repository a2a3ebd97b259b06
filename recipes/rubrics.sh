#!/usr/bin/env bash
# Rubrics scored by a language model, after RaR's published recipe, with the paper's schedule of the risk coefficient.
# README.md states the source of each number.
#   DATASET=science JUDGE_URL=http://judge:8000/v1 recipes/rubrics.sh 7b [OPTION=VALUE ...]
set -euo pipefail

# SIZE          policy              engine    rollout TP  offload  actor TP
SIZES='
  3b            Qwen/Qwen2.5-3B     fsdp2     1           False    -
  7b            Qwen/Qwen2.5-7B     fsdp2     1           False    -
  14b           Qwen/Qwen2.5-14B    fsdp2     2           True     -
  14b-megatron  Qwen/Qwen2.5-14B    megatron  2           True     4
'

# ------------------------------------------- user-adjustable -------------------------------------------
DATASET=${DATASET:-medicine}                    # medicine | science
case $DATASET in
  medicine | science) TASK=rubrics-$DATASET ;;
  *) echo "DATASET=$DATASET: expected medicine or science" >&2; exit 2 ;;
esac
TRAIN_FILES=${TRAIN_FILES:-data/rar-$DATASET/train.parquet}
VAL_FILES=${VAL_FILES:-data/rar-$DATASET/val.parquet}
MAX_PROMPT_LENGTH=${MAX_PROMPT_LENGTH:-512}
MAX_RESPONSE_LENGTH=${MAX_RESPONSE_LENGTH:-3072}

TRAIN_BATCH_SIZE=${TRAIN_BATCH_SIZE:-96}
PPO_MINI_BATCH_SIZE=${PPO_MINI_BATCH_SIZE:-96}
GROUP_SIZE=${GROUP_SIZE:-16}
TOTAL_STEPS=${TOTAL_STEPS:-300}
TOTAL_EPOCHS=${TOTAL_EPOCHS:-2}                 # enough for TOTAL_STEPS
SAVE_FREQ=${SAVE_FREQ:-25}
TEST_FREQ=${TEST_FREQ:-25}

LR=${LR:-5e-6}
LR_WARMUP_RATIO=${LR_WARMUP_RATIO:-0.1}
USE_KL_LOSS=${USE_KL_LOSS:-True}
K=${K:-'{schedule:linear,from:0.5,to:2.0,over:run}'} # risk coefficient: a number, or a schedule

JUDGE=${JUDGE:-server}                          # server: at JUDGE_URL, see judge/ | pool: verl serves it on GPUs of
                                                # its own | colocated: on the training GPUs, after each rollout
JUDGE_URL=${JUDGE_URL:-}                        # http://HOST:PORT/v1 of any OpenAI-compatible server
JUDGE_MODEL=${JUDGE_MODEL:-Qwen/Qwen2.5-32B-Instruct}
JUDGE_KEY_ENV=${JUDGE_KEY_ENV:-null}            # name of the environment variable with the key of JUDGE_URL
JUDGE_CALLS=${JUDGE_CALLS:-criterion}           # one call for each criterion, or for each response
JUDGE_LIMIT=${JUDGE_LIMIT:-256}                 # calls in flight, over all reward workers
JUDGE_MAX_TOKENS_TOTAL=${JUDGE_MAX_TOKENS_TOTAL:-null} # read and written by the judge; before more, the run ends
JUDGE_LOG_SHARE=${JUDGE_LOG_SHARE:-0.02}        # of responses whose calls are written to judge-calls-*.jsonl
JUDGE_DEADLINE=${JUDGE_DEADLINE:-300}           # seconds for all verdicts on one response, retries included
JUDGE_TP=${JUDGE_TP:-2}                         # of JUDGE=pool and colocated
JUDGE_NNODES=${JUDGE_NNODES:-1}                 # of JUDGE=pool
JUDGE_NGPUS=${JUDGE_NGPUS:-8}                   # of JUDGE=pool, per node
# --------------------------------------------------------------------------------------------------------

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

REWARD=(
  +rvpo=rubrics
  "reward.rvpo.rewards.rubric.kwargs.judge.calls=$JUDGE_CALLS"
  "reward.rvpo.rewards.rubric.kwargs.judge.limit=$JUDGE_LIMIT"
  "reward.rvpo.rewards.rubric.kwargs.judge.deadline=$JUDGE_DEADLINE"
  "reward.rvpo.rewards.rubric.kwargs.judge.log.share=$JUDGE_LOG_SHARE"
  "reward.rvpo.max_tokens_total=$JUDGE_MAX_TOKENS_TOTAL"
)

case $JUDGE in
  server)
    if [ -z "$JUDGE_URL" ]; then
      echo "JUDGE_URL is not set: start a judge with recipes/judge/serve_vllm.sh, which prints its address, give" \
        "that of any OpenAI-compatible server, or let verl serve it with JUDGE=pool or JUDGE=colocated" >&2
      exit 2
    fi
    endpoint="{base_url:'$JUDGE_URL',model:'$JUDGE_MODEL',api_key_env:$JUDGE_KEY_ENV}"
    REWARD+=("reward.rvpo.rewards.rubric.kwargs.judge.endpoints=[$endpoint]")
    ;;
  pool | colocated)
    REWARD+=(
      reward.reward_model.enable=True
      "reward.reward_model.model_path=$JUDGE_MODEL"
      reward.reward_model.rollout.name=vllm
      "reward.reward_model.rollout.tensor_model_parallel_size=$JUDGE_TP"
      # verl hands its server to a reward manager only beside a scoring function; the rvpo manager never calls it.
      reward.custom_reward_function.path=pkg://rvpo_verl.rewards.text
      reward.custom_reward_function.name=length
    )
    ;;&
  pool)
    REWARD+=(
      reward.reward_model.enable_resource_pool=True
      "reward.reward_model.nnodes=$JUDGE_NNODES"
      "reward.reward_model.n_gpus_per_node=$JUDGE_NGPUS"
    )
    ;;
  # verl's V1 trainer tells a colocated judge neither the rubric nor the data source; V0 does.
  colocated) REWARD+=(++trainer.use_v1=False) ;;
  *) echo "JUDGE=$JUDGE: expected server, pool or colocated" >&2; exit 2 ;;
esac

launch "${REWARD[@]}" "${@:2}"
