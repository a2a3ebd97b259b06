# shellcheck shell=bash
# Sourced by every recipe after its own settings: what all recipes share, and `launch`, which starts verl's trainer.
# Every upper-case variable can be set from the environment. README.md states the source of each number.

# The recipe's first argument names a row of its table SIZES.
if ! read -r _ size_policy size_engine size_rollout_tp size_offload size_actor_tp \
  < <(awk -v size="${1:-}" 'NF && $1 == size' <<<"$SIZES"); then
  echo "SIZE=${1:-}: expected one of$(awk 'NF { printf " %s", $1 }' <<<"$SIZES")." \
    "Usage: [VARIABLE=VALUE ...] $0 SIZE [OPTION=VALUE ...]" >&2
  exit 2
fi

# ------------------------------------------- user-adjustable -------------------------------------------
MODEL_PATH=${MODEL_PATH:-$size_policy}
ROLLOUT_TP=${ROLLOUT_TP:-$size_rollout_tp}
OFFLOAD=${OFFLOAD:-$size_offload}               # parameters and optimizer to the host while vLLM generates
ACTOR_TP=${ACTOR_TP:-$size_actor_tp}            # these three: Megatron only
ACTOR_PP=${ACTOR_PP:-1}
ACTOR_CP=${ACTOR_CP:-1}

ALGO=${ALGO:-rvpo}                              # rvpo | gdpo | grpo | hard_min | variance
BETA=${BETA:-1.0}                               # penalty of ALGO=variance
CENTER_GROUPS=${CENTER_GROUPS:-True}            # False is the published form

NNODES=${NNODES:-1}
NGPUS=${NGPUS:-8}                               # per node
MAIN=${MAIN:-verl.trainer.main_ppo}             # verl 0.8 also has verl.trainer.main_ppo_sync

USE_KL_LOSS=${USE_KL_LOSS:-False}
KL_LOSS_COEF=${KL_LOSS_COEF:-0.001}
ENTROPY_COEFF=${ENTROPY_COEFF:-0}
LR_WARMUP_RATIO=${LR_WARMUP_RATIO:-0.0}
TEMPERATURE=${TEMPERATURE:-1.0}

MAX_TOKENS_PER_GPU=${MAX_TOKENS_PER_GPU:-16384} # of a micro batch, into which sequences are packed without padding
ROLLOUT_MEMORY=${ROLLOUT_MEMORY:-0.6}           # share of a GPU's memory that vLLM takes while it generates
ATTENTION=${ATTENTION:-flash_attention_2}       # FSDP only; sdpa where flash-attn is not installed

LOGGER=${LOGGER:-console,file}                  # any of console, file, wandb, tensorboard, ...
PROJECT=${PROJECT:-rvpo}
EXPERIMENT=${EXPERIMENT:-$TASK-$(basename "$MODEL_PATH")-${size_engine/fsdp2/fsdp}-$ALGO}
OUTPUT=${OUTPUT:-checkpoints/$PROJECT/$EXPERIMENT}
RESUME=${RESUME:-auto}                          # auto resumes from the last checkpoint in OUTPUT; disable
KEEP_CHECKPOINTS=${KEEP_CHECKPOINTS:-null}      # number of newest ones; null keeps all, which `rvpo-verl best` needs
DUMP_FREQ=${DUMP_FREQ:-5}                       # every so many steps, the answers to
DUMP_GROUPS=${DUMP_GROUPS:-16}                  # so many prompts are written, for `rvpo-verl report OUTPUT`
HF_CHECKPOINT=${HF_CHECKPOINT:-True}            # also in Hugging Face's format, in actor/huggingface

DRY_RUN=${DRY_RUN:-0}                           # 1: check all and print the plan | config: without the data
PYTHON=${PYTHON:-python3}
# --------------------------------------------------------------------------------------------------------

# Ray's workers, on this node too, have another working directory, so that relative paths would name other files.
absolute() {
  case $1 in
    /* | \[* | *://*) echo "$1" ;;               # a list, or not a local file
    *) realpath -ms "$1" ;;
  esac
}
TRAIN_FILES=$(absolute "$TRAIN_FILES")
VAL_FILES=$(absolute "$VAL_FILES")
OUTPUT=$(absolute "$OUTPUT")
if [ -d "$MODEL_PATH" ]; then MODEL_PATH=$(absolute "$MODEL_PATH"); fi

case $ALGO in
  rvpo) ALGORITHM=(algorithm.adv_estimator=rvpo algorithm.rvpo.aggregation=softmin) ;;
  gdpo) ALGORITHM=(algorithm.adv_estimator=rvpo algorithm.rvpo.aggregation=mean) ;;
  hard_min) ALGORITHM=(algorithm.adv_estimator=rvpo algorithm.rvpo.aggregation=min) ;;
  variance) ALGORITHM=(algorithm.adv_estimator=rvpo algorithm.rvpo.aggregation=variance algorithm.rvpo.beta="$BETA") ;;
  grpo) ALGORITHM=(algorithm.adv_estimator=grpo) ;;
  *) echo "ALGO=$ALGO: expected rvpo, gdpo, grpo, hard_min or variance" >&2; exit 2 ;;
esac

case $size_engine in
  fsdp2)
    ENGINE=(
      actor_rollout_ref.actor.strategy=fsdp2
      "actor_rollout_ref.actor.fsdp_config.param_offload=$OFFLOAD"
      "actor_rollout_ref.actor.fsdp_config.optimizer_offload=$OFFLOAD"
      actor_rollout_ref.ref.fsdp_config.param_offload=True
      "+actor_rollout_ref.model.override_config.attn_implementation=$ATTENTION"
    )
    ;;
  megatron)
    ENGINE=(
      --config-name=ppo_megatron_trainer        # exists in every supported verl; model_engine=megatron does not
      "actor_rollout_ref.actor.megatron.param_offload=$OFFLOAD"
      "actor_rollout_ref.actor.megatron.optimizer_offload=$OFFLOAD"
      actor_rollout_ref.ref.megatron.param_offload=True
      actor_rollout_ref.actor.megatron.use_mbridge=True
      # Activations are recomputed layer by layer, as gradient checkpointing does under FSDP.
      ++actor_rollout_ref.actor.megatron.override_transformer_config.recompute_granularity=full
      ++actor_rollout_ref.actor.megatron.override_transformer_config.recompute_method=uniform
      ++actor_rollout_ref.actor.megatron.override_transformer_config.recompute_num_layers=1
      "actor_rollout_ref."{actor,ref}".megatron.tensor_model_parallel_size=$ACTOR_TP"
      "actor_rollout_ref."{actor,ref}".megatron.pipeline_model_parallel_size=$ACTOR_PP"
      "actor_rollout_ref."{actor,ref}".megatron.context_parallel_size=$ACTOR_CP"
    )
    ;;
esac

OPTIONS=(
  "${ENGINE[@]}"
  "${ALGORITHM[@]}"
  "algorithm.rvpo.k=$K"
  "algorithm.rvpo.center_groups=$CENTER_GROUPS"
  algorithm.use_kl_in_reward=False

  "data.train_files=$TRAIN_FILES"
  "data.val_files=$VAL_FILES"
  "data.train_batch_size=$TRAIN_BATCH_SIZE"
  "data.max_prompt_length=$MAX_PROMPT_LENGTH"
  "data.max_response_length=$MAX_RESPONSE_LENGTH"
  data.filter_overlong_prompts=True
  data.truncation=error

  "actor_rollout_ref.model.path=$MODEL_PATH"
  actor_rollout_ref.model.use_remove_padding=True
  actor_rollout_ref.model.enable_gradient_checkpointing=True

  "actor_rollout_ref.actor.optim.lr=$LR"
  "actor_rollout_ref.actor.optim.lr_warmup_steps_ratio=$LR_WARMUP_RATIO"
  "actor_rollout_ref.actor.ppo_mini_batch_size=$PPO_MINI_BATCH_SIZE"
  actor_rollout_ref.actor.use_dynamic_bsz=True
  "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=$MAX_TOKENS_PER_GPU"
  actor_rollout_ref.actor.clip_ratio=0.2
  "actor_rollout_ref.actor.use_kl_loss=$USE_KL_LOSS"
  "actor_rollout_ref.actor.kl_loss_coef=$KL_LOSS_COEF"
  actor_rollout_ref.actor.kl_loss_type=low_var_kl
  "actor_rollout_ref.actor.entropy_coeff=$ENTROPY_COEFF"

  actor_rollout_ref.rollout.name=vllm
  "actor_rollout_ref.rollout.n=$GROUP_SIZE"
  "actor_rollout_ref.rollout.temperature=$TEMPERATURE"
  actor_rollout_ref.rollout.top_p=1.0
  "actor_rollout_ref.rollout.tensor_model_parallel_size=$ROLLOUT_TP"
  "actor_rollout_ref.rollout.gpu_memory_utilization=$ROLLOUT_MEMORY"

  "trainer.nnodes=$NNODES"
  "trainer.n_gpus_per_node=$NGPUS"
  "trainer.total_epochs=$TOTAL_EPOCHS"
  "trainer.total_training_steps=${TOTAL_STEPS:-null}"
  "trainer.save_freq=$SAVE_FREQ"
  "trainer.test_freq=$TEST_FREQ"
  "trainer.logger=[$LOGGER]"
  "trainer.project_name=$PROJECT"
  "trainer.experiment_name=$EXPERIMENT"
  "trainer.default_local_dir=$OUTPUT"
  "trainer.rollout_data_dir=$OUTPUT/rollouts"
  # ++: Megatron's configuration in verl 0.7 leaves it out, and its trainer reads it.
  "++trainer.validation_data_dir=$OUTPUT/validation"
  "algorithm.rvpo.dump_freq=$DUMP_FREQ"
  "algorithm.rvpo.dump_groups=$DUMP_GROUPS"
  "trainer.resume_mode=$RESUME"
  "trainer.max_actor_ckpt_to_keep=$KEEP_CHECKPOINTS"
  # Ray's workers on other nodes inherit nothing of this environment.
  ++ray_kwargs.ray_init.runtime_env.env_vars.VERL_USE_EXTERNAL_MODULES=rvpo_verl
)
if [ "$HF_CHECKPOINT" = True ]; then
  OPTIONS+=(
    'actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model]'
    'actor_rollout_ref.actor.checkpoint.load_contents=[model,optimizer,extra]'
  )
fi

# verl's file logger empties its file when it starts, also to resume, so every start gets a separate file.
log_file() {
  local start=1
  while [ -e "$OUTPUT/metrics-$start.jsonl" ]; do start=$((start + 1)); done
  realpath -m "$OUTPUT/metrics-$start.jsonl"
}

# Starts verl's trainer with OPTIONS and the arguments, which come last and therefore win. With DRY_RUN it only checks
# them and prints the plan.
launch() {
  set -- "${OPTIONS[@]}" "$@"
  export VERL_USE_EXTERNAL_MODULES=rvpo_verl
  case $DRY_RUN in
    0) ;;
    1) exec "$PYTHON" -m rvpo_verl plan --main "$MAIN" "$@" ;;
    config) exec "$PYTHON" -m rvpo_verl plan --main "$MAIN" --no-data "$@" ;;
    options) printf '%s\n' "$@"; exit ;;        # one per line, for scripts
    *) echo "DRY_RUN=$DRY_RUN: expected 0, 1, config or options" >&2; exit 2 ;;
  esac
  mkdir -p "$OUTPUT"
  local environment=++ray_kwargs.ray_init.runtime_env.env_vars
  exec "$PYTHON" -m "$MAIN" \
    "$environment.VERL_FILE_LOGGER_PATH='${VERL_FILE_LOGGER_PATH:-$(log_file)}'" \
    "$environment.TENSORBOARD_DIR='${TENSORBOARD_DIR:-$(realpath -m "$OUTPUT/tensorboard")}'" \
    "$@"
}
