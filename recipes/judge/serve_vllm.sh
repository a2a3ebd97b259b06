#!/usr/bin/env bash
# Serves a judge with vLLM on separate GPUs or a separate node:
#   recipes/judge/serve_vllm.sh [OPTION OF vllm serve ...]    # stays in the foreground; Ctrl-C ends it
# Once the judge answers, prints `JUDGE_URL=http://HOST:PORT/v1` and writes the address to JUDGE_URL_FILE:
#   JUDGE_URL=$(cat judge.url) recipes/rubrics.sh 7b
# VLLM_API_KEY sets a key that clients must send.
set -euo pipefail

# ------------------------------------------- user-adjustable -------------------------------------------
JUDGE_MODEL=${JUDGE_MODEL:-Qwen/Qwen2.5-32B-Instruct}
JUDGE_GPUS=${JUDGE_GPUS:-}                      # such as 4,5,6,7; empty takes every visible one
JUDGE_TP=${JUDGE_TP:-2}
JUDGE_DP=${JUDGE_DP:-1}                         # replicas; JUDGE_TP x JUDGE_DP GPUs in all
JUDGE_MAX_LENGTH=${JUDGE_MAX_LENGTH:-8192}      # question, answer, rubric and verdict
JUDGE_MEMORY=${JUDGE_MEMORY:-0.9}
JUDGE_HOST=${JUDGE_HOST:-$(hostname -f)}        # the name under which the trainer reaches this node
JUDGE_PORT=${JUDGE_PORT:-}                      # empty takes a free one
JUDGE_URL_FILE=${JUDGE_URL_FILE:-judge.url}
JUDGE_START_SECONDS=${JUDGE_START_SECONDS:-1800} # for loading the model
VLLM=${VLLM:-vllm}
# --------------------------------------------------------------------------------------------------------

source "$(dirname "${BASH_SOURCE[0]}")/../free_port.sh"
JUDGE_PORT=${JUDGE_PORT:-$(free_port)}
[ -n "$JUDGE_GPUS" ] && export CUDA_VISIBLE_DEVICES=$JUDGE_GPUS

SERVER=(
  serve "$JUDGE_MODEL"
  --served-model-name "$JUDGE_MODEL"
  --host 0.0.0.0
  --port "$JUDGE_PORT"
  --tensor-parallel-size "$JUDGE_TP"
  --data-parallel-size "$JUDGE_DP"
  --max-model-len "$JUDGE_MAX_LENGTH"
  --gpu-memory-utilization "$JUDGE_MEMORY"
  --enable-prefix-caching                       # the criteria of one answer share question and answer
)
rm -f "$JUDGE_URL_FILE"                         # written by an earlier server
"$VLLM" "${SERVER[@]}" "$@" &
server=$!
trap 'rm -f "$JUDGE_URL_FILE"; kill "$server" 2>/dev/null; wait "$server"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

until curl --silent --fail --output /dev/null --max-time 5 "http://localhost:$JUDGE_PORT/health"; do
  if ! kill -0 "$server" 2>/dev/null; then
    echo "The judge ended before it was ready; its output above says why." >&2
    exit 1
  fi
  if [ "$SECONDS" -ge "$JUDGE_START_SECONDS" ]; then
    echo "The judge was not ready after $JUDGE_START_SECONDS s (JUDGE_START_SECONDS)." >&2
    exit 1
  fi
  sleep 1
done

url=http://$JUDGE_HOST:$JUDGE_PORT/v1
echo "$url" >"$JUDGE_URL_FILE.part" && mv "$JUDGE_URL_FILE.part" "$JUDGE_URL_FILE" # atomically
echo "JUDGE_URL=$url"
wait "$server"
