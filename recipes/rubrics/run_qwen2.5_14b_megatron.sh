#!/usr/bin/env bash
# Rubrics with Qwen2.5-14B: Megatron-core and vLLM on one node of 8 GPUs, the judge beside it. The numbers: settings.sh.
#   DATASET=science JUDGE_URL=http://judge:8000/v1 ./run_qwen2.5_14b_megatron.sh [OPTION=VALUE ...]
set -euo pipefail

MODEL_PATH=${MODEL_PATH:-Qwen/Qwen2.5-14B}
ROLLOUT_TP=${ROLLOUT_TP:-2}
OFFLOAD=${OFFLOAD:-True}
ACTOR_TP=${ACTOR_TP:-4}
ACTOR_PP=${ACTOR_PP:-1}
ACTOR_CP=${ACTOR_CP:-1}
BACKEND=megatron

source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

MEGATRON=(
  --config-name=ppo_megatron_trainer            # known to every supported verl; model_engine=megatron is not
  "actor_rollout_ref.actor.megatron.param_offload=$OFFLOAD"
  "actor_rollout_ref.actor.megatron.optimizer_offload=$OFFLOAD"
  "actor_rollout_ref.ref.megatron.param_offload=True"
  actor_rollout_ref.actor.megatron.use_mbridge=True
  # Activations are recomputed layer by layer, as gradient checkpointing does under FSDP.
  ++actor_rollout_ref.actor.megatron.override_transformer_config.recompute_granularity=full
  ++actor_rollout_ref.actor.megatron.override_transformer_config.recompute_method=uniform
  ++actor_rollout_ref.actor.megatron.override_transformer_config.recompute_num_layers=1
)
for role in actor ref; do
  MEGATRON+=(
    "actor_rollout_ref.$role.megatron.tensor_model_parallel_size=$ACTOR_TP"
    "actor_rollout_ref.$role.megatron.pipeline_model_parallel_size=$ACTOR_PP"
    "actor_rollout_ref.$role.megatron.context_parallel_size=$ACTOR_CP"
  )
done

launch "${MEGATRON[@]}" "${REWARD[@]}" "${ALGORITHM[@]}" "${DATA[@]}" "${MODEL[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" \
  "${TRAINER[@]}" "$@"
