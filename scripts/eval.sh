#!/usr/bin/env bash
# Evaluates a checkpoint that is served over HTTP on HealthBench, GPQA-Diamond and BFCL, with inspect-evals:
#   POLICY_BASE_URL=http://localhost:8000/v1 TASKS=gpqa_diamond ./scripts/eval.sh [OPTIONS OF inspect eval-set ...]
# The same command continues after an interruption; finished samples are not repeated. See docs/evaluation.md.
set -euo pipefail

# ------------------------------------------- user-adjustable -------------------------------------------
TASKS=${TASKS:-healthbench gpqa_diamond bfcl}   # also healthbench_hard, healthbench_consensus, ifeval, ifbench
OUT=${OUT:-outputs/evaluation/${POLICY_MODEL:-policy}} # logs, one folder per task; one OUT per checkpoint

POLICY_BASE_URL=${POLICY_BASE_URL:-}            # OpenAI-compatible, such as http://localhost:8000/v1
POLICY_MODEL=${POLICY_MODEL:-}                  # empty: the one that is served
POLICY_API_KEY=${POLICY_API_KEY:-EMPTY}
JUDGE_BASE_URL=${JUDGE_BASE_URL:-}              # for HealthBench
JUDGE_MODEL=${JUDGE_MODEL:-}
JUDGE_API_KEY=${JUDGE_API_KEY:-EMPTY}
JUDGE_SCHEMA=${JUDGE_SCHEMA:-true}              # false: a judge that does not accept a JSON schema
JUDGE_MAX_TOKENS=${JUDGE_MAX_TOKENS:-1024}      # of an explanation and a verdict
JUDGE_TEMPERATURE=${JUDGE_TEMPERATURE:-0}

LIMIT=${LIMIT:-}                                # number of samples, from the first; empty: all
EPOCHS=${EPOCHS:-}                              # answers per sample; empty: as published, 4 for GPQA, else 1
MAX_UNREAD=${MAX_UNREAD:-0.05}                  # share of unreadable verdicts, beyond which the exit status is 1
TEMPERATURE=${TEMPERATURE:-}                    # empty: the server's default
MAX_TOKENS=${MAX_TOKENS:-}                      # of an answer; empty: the server's default
CONNECTIONS=${CONNECTIONS:-64}                  # requests at once

TOOL_FORMAT=${TOOL_FORMAT:-rlla}                # of BFCL: rlla, as recipes/tool_calling trains | openai
BFCL_CATEGORIES=${BFCL_CATEGORIES:-}            # such as simple_python,multiple; empty: BFCL-v3's 17
HEALTHBENCH_DATA=${HEALTHBENCH_DATA:-}          # local files instead of downloads
GPQA_DATA=${GPQA_DATA:-}
BFCL_DATA=${BFCL_DATA:-}
IFEVAL_DATA=${IFEVAL_DATA:-}
IFBENCH_DATA=${IFBENCH_DATA:-}

PYTHON=${PYTHON:-}                              # with rvpo-verl[eval]; empty: .venv-eval, created once
# --------------------------------------------------------------------------------------------------------

repository=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
if [ -z "$PYTHON" ]; then
  source "$repository/scripts/environment.sh"
  (cd "$repository" && evaluation_environment)
  PYTHON=$repository/.venv-eval/bin/python
fi
PYTHON=$(realpath -s "$(command -v "$PYTHON")")

OUT=$(realpath -m "$OUT")
[ -z "$HEALTHBENCH_DATA" ] || HEALTHBENCH_DATA=$(realpath "$HEALTHBENCH_DATA")
[ -z "$GPQA_DATA" ] || GPQA_DATA=$(realpath "$GPQA_DATA")
[ -z "$BFCL_DATA" ] || BFCL_DATA=$(realpath "$BFCL_DATA")
[ -z "$IFEVAL_DATA" ] || IFEVAL_DATA=$(realpath "$IFEVAL_DATA")
[ -z "$IFBENCH_DATA" ] || IFBENCH_DATA=$(realpath "$IFBENCH_DATA")

case $TOOL_FORMAT in
  rlla) bfcl_model=rlla ;;
  openai) bfcl_model=policy ;;
  *) echo "TOOL_FORMAT=$TOOL_FORMAT: expected rlla or openai" >&2; exit 2 ;;
esac

export POLICY_BASE_URL POLICY_MODEL POLICY_API_KEY JUDGE_BASE_URL JUDGE_MODEL JUDGE_API_KEY
# shellcheck disable=SC2086 # a list of words
served=$("$PYTHON" -m rvpo_verl.cli.preflight $TASKS)
{ read -r POLICY_MODEL; read -r JUDGE_MODEL || true; } <<<"$served"

# Cache of judges' answers. It is next to the logs, so that no other run reads it.
export INSPECT_CACHE_DIR=${INSPECT_CACHE_DIR:-$OUT/.cache}

COMMON=(--max-connections "$CONNECTIONS" --max-samples "$CONNECTIONS" --log-buffer 1)
[ -z "$LIMIT" ] || COMMON+=(--limit "$LIMIT")
[ -z "$EPOCHS" ] || COMMON+=(--epochs "$EPOCHS")
[ -z "$TEMPERATURE" ] || COMMON+=(--temperature "$TEMPERATURE")
[ -z "$MAX_TOKENS" ] || COMMON+=(--max-tokens "$MAX_TOKENS")

# inspect does not treat a package below the working directory, such as this repository's, as installed.
mkdir -p "$OUT"
cd "$OUT"

failed=0
for task in $TASKS; do
  model=policy/$POLICY_MODEL
  arguments=()
  case $task in
    healthbench*)
      arguments=(
        -T "judge_model=openai-api/judge/$JUDGE_MODEL"
        -T "judge_schema=$JUDGE_SCHEMA"
        -T "judge_max_tokens=$JUDGE_MAX_TOKENS"
        -T "judge_temperature=$JUDGE_TEMPERATURE"
      )
      [ -z "$HEALTHBENCH_DATA" ] || arguments+=(-T "data=$HEALTHBENCH_DATA")
      ;;
    gpqa_diamond) [ -z "$GPQA_DATA" ] || arguments+=(-T "data=$GPQA_DATA") ;;
    ifeval) [ -z "$IFEVAL_DATA" ] || arguments+=(-T "data=$IFEVAL_DATA") ;;
    ifbench) [ -z "$IFBENCH_DATA" ] || arguments+=(-T "data=$IFBENCH_DATA") ;;
    bfcl)
      model=$bfcl_model/$POLICY_MODEL
      [ -z "$BFCL_DATA" ] || arguments+=(-T "data=$BFCL_DATA")
      [ -z "$BFCL_CATEGORIES" ] || arguments+=(-T "categories=$BFCL_CATEGORIES")
      ;;
  esac
  echo "== $task: $model -> $OUT/$task" >&2
  "$PYTHON" -m inspect_ai eval-set "rvpo_verl/$task" --model "$model" --log-dir "$OUT/$task" "${COMMON[@]}" \
    "${arguments[@]}" "$@" || failed=1
done
"$PYTHON" -m rvpo_verl compare "$OUT" --max-unread "$MAX_UNREAD" || failed=1
exit $failed
