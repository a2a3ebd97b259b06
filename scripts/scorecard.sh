#!/usr/bin/env bash
# The score card of a checkpoint: serves it with vLLM, runs the benchmarks of scripts/eval.sh, and writes a table of its
# scores with intervals, beside those of the model it was trained from:
#   scripts/scorecard.sh CHECKPOINT [--base MODEL] [--limit N] [--tasks "TASK ..."] [--out FOLDER] [OPTIONS OF inspect ...]
# The same command continues after an interruption; a model that is finished is not served again. See docs/evaluation.md.
set -euo pipefail

# ------------------------------------------- user-adjustable -------------------------------------------
VLLM=${VLLM:-vllm}
VLLM_OPTIONS=${VLLM_OPTIONS:-}                  # words, such as --tensor-parallel-size 2 --max-model-len 16384
TRAINING_PYTHON=${TRAINING_PYTHON:-python3}     # with verl, which merges the shards of a checkpoint
START_SECONDS=${START_SECONDS:-1800}            # for loading a model
TASKS=${TASKS:-gpqa_diamond bfcl ifeval ifbench ${JUDGE_BASE_URL:+healthbench}}
OUT=${OUT:-outputs/scorecard}
# All variables of scripts/eval.sh but those of the policy's server.
# --------------------------------------------------------------------------------------------------------

usage="Usage: [VARIABLE=VALUE ...] $0 CHECKPOINT [--base MODEL] [--limit N] [--tasks \"TASK ...\"] [--out FOLDER]"
checkpoint=${1:-}
case $checkpoint in "" | -*) echo "$usage" >&2; exit 2 ;; esac
shift
base='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    --base | --limit | --tasks | --out)
      case ${2:---} in --*) echo "$1 needs a value. $usage" >&2; exit 2 ;; esac
      case $1 in
        --base) base=$2 ;;
        --limit) export LIMIT=$2 ;;
        --tasks) TASKS=$2 ;;
        --out) OUT=$2 ;;
      esac
      shift 2
      ;;
    *) options+=("$1"); shift ;;
  esac
done

scripts=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
source "$scripts/environment.sh"
if [ -z "${PYTHON:-}" ]; then
  (cd "$scripts/.." && evaluation_environment)
  PYTHON=$scripts/../.venv-eval/bin/python
fi
export PYTHON TASKS
OUT=$(realpath -m "$OUT")

has() { compgen -G "$1" >/dev/null; }

# What vLLM can load of a checkpoint: the folder in Hugging Face's format, made of verl's FSDP shards if there is none.
loadable() {
  local given=$1 folder
  if [ ! -d "$given" ]; then
    case $given in
      /* | .* | */*/*) echo "$given: no such folder. Expected a checkpoint, or the name of a model on the hub." >&2; exit 2 ;;
      *) echo "$given"; return ;;
    esac
  fi
  if [ -e "$given/latest_checkpointed_iteration.txt" ]; then
    given=$given/global_step_$(<"$given/latest_checkpointed_iteration.txt")
  fi
  for folder in "$given" "$given/actor/huggingface" "$given/huggingface" "$given/actor/merged" "$given/merged"; do
    if has "$folder/*.safetensors" || has "$folder/pytorch_model*.bin"; then
      realpath "$folder"
      return
    fi
  done
  for folder in "$given/actor" "$given"; do
    if has "$folder/model_world_size_*_rank_*.pt"; then
      echo "== merging the shards of $folder" >&2
      "$TRAINING_PYTHON" -m verl.model_merger merge --backend fsdp --local_dir "$folder" \
        --target_dir "$folder/merged.part" >&2
      mv "$folder/merged.part" "$folder/merged"
      realpath "$folder/merged"
      return
    fi
  done
  echo "$given has no weights: expected *.safetensors there or in actor/huggingface, or FSDP shards of verl in actor." \
    "Megatron's checkpoints need actor.checkpoint.save_contents with hf_model." >&2
  exit 2
}

# The folder of a model's logs: its last two names, which tell steps and runs apart, and the limit.
logs_of() {
  local path=$1
  if [ -d "$path" ]; then path=$(realpath "$path"); fi
  echo "$OUT/$(awk -F/ '{ print (NF > 1 ? $(NF - 1) "-" : "") $NF }' <<<"$path")${LIMIT:+-limit-$LIMIT}"
}

finished() {
  local task
  for task in $TASKS; do
    [ "$(cat "$1/$task.finished" 2>/dev/null)" = "$2" ] || return 1
  done
}

server=''
stop() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=''
  fi
}
trap stop EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

source "$scripts/../recipes/free_port.sh"
# evaluate MODEL LOGS: serves a model and runs all tasks.
evaluate() {
  local model=$1 logs=$2 port log=$2/vllm.log status=0 task
  mkdir -p "$logs"
  port=$(free_port)
  echo "== serving $model; vLLM's log is $log" >&2
  # shellcheck disable=SC2086 # a list of words
  "$VLLM" serve "$model" --served-model-name policy --host 127.0.0.1 --port "$port" $VLLM_OPTIONS >"$log" 2>&1 &
  server=$!
  SECONDS=0
  until curl --silent --fail --output /dev/null --max-time 5 "http://127.0.0.1:$port/health"; do
    if ! kill -0 "$server" 2>/dev/null; then
      echo "vLLM ended before $model was served. The end of $log:" >&2
      tail -n 20 "$log" >&2
      exit 1
    fi
    if [ "$SECONDS" -ge "$START_SECONDS" ]; then
      echo "vLLM has not served $model after $START_SECONDS s (START_SECONDS). The end of $log:" >&2
      tail -n 20 "$log" >&2
      exit 1
    fi
    sleep 1
  done
  OUT=$logs POLICY_BASE_URL=http://127.0.0.1:$port/v1 POLICY_MODEL=policy POLICY_API_KEY=EMPTY \
    "$scripts/eval.sh" ${options[@]+"${options[@]}"} || status=$?
  stop
  [ "$status" -eq 0 ] || return "$status"
  for task in $TASKS; do echo "$model" >"$logs/$task.finished"; done
}

cards=() failed=0
for given in ${base:+"$base"} "$checkpoint"; do
  model=$(loadable "$given")
  logs=$(logs_of "$given")
  for mark in "$logs"/*.finished; do
    if [ -e "$mark" ] && [ "$(<"$mark")" != "$model" ]; then
      echo "$logs has results of $(<"$mark"), not of $model. Choose another --out." >&2
      exit 2
    fi
  done
  if finished "$logs" "$model"; then
    echo "== $model is finished" >&2
  else
    evaluate "$model" "$logs" || failed=$?
  fi
  cards+=("$logs")
done
card=${cards[-1]}.md
(cd "$OUT" && "$PYTHON" -m rvpo_verl compare "${cards[@]}" --max-unread "${MAX_UNREAD:-0.05}" --out "$card") || failed=1
[ ! -e "$card" ] || echo "$card: the score card" >&2
exit "$failed"
