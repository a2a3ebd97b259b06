# shellcheck shell=bash
# Sourced by the scripts of this folder: a Ray cluster that lives as long as the processes which hold its nodes.
# A node is `ray start --block`: when that process ends, so does the node with all that runs on it, and nothing else;
# `ray stop` would end every Ray of the user on that machine.

# ------------------------------------------- user-adjustable -------------------------------------------
PYTHON=${PYTHON:-python3}                       # the one with verl and this package, on every node
HEAD_ADDRESS=${HEAD_ADDRESS:-}                  # of this node, where it has several; else Ray finds one
HEAD_PORT=${HEAD_PORT:-}                        # empty takes a free one
RAY_OPTIONS=${RAY_OPTIONS:-}                    # more options of `ray start`, on every node
HEAD_OPTIONS=${HEAD_OPTIONS:-}                  # and on the head alone
JOIN_SECONDS=${JOIN_SECONDS:-300}               # until all nodes must have joined
STOP_SECONDS=${STOP_SECONDS:-20}                # that they have for a clean end
LOGS=${LOGS:-logs/cluster/$(date +%Y%m%d-%H%M%S)-$$}
FORWARD=${FORWARD:-}                            # names of more variables that every node gets
# --------------------------------------------------------------------------------------------------------

CLUSTER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NODE_LOST=75                                    # exit status: not the run's fault, starting again goes on
declare -A NODES=()                             # name -> process that holds the node
RUN=

ray() { "$PYTHON" -m ray.scripts.scripts "$@"; }

free_port() {
  "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}

# The exported variables that every node needs, one a line. Extra arguments: names of more of them.
forwarded() {
  local name
  for name in $(compgen -e); do
    case " $FORWARD $* ${JUDGE_KEY_ENV:-} " in *" $name "*) echo "$name" && continue ;; esac
    case $name in
      RAY_JOB_*) ;;
      VERL_* | WANDB_* | HF_* | HUGGING_FACE_* | JUDGE* | OPENAI_* | RAY_* | NCCL_* | GLOO_* | VLLM_*) echo "$name" ;;
      TENSORBOARD_DIR | TOKENIZERS_PARALLELISM | OMP_NUM_THREADS | CUDA_HOME) echo "$name" ;;
      PATH | LD_LIBRARY_PATH | PYTHONPATH | VIRTUAL_ENV | CONDA_PREFIX) echo "$name" ;;
    esac
  done
}

# Sets what the head and whoever joins it have to agree on: RAY_ADDRESS, and a secret of this cluster alone.
prepare_cluster() {
  mkdir -p "$LOGS"
  LOGS=$(realpath "$LOGS")
  HEAD_ADDRESS=${HEAD_ADDRESS:-$("$PYTHON" -c 'import ray.util; print(ray.util.get_node_ip_address())')}
  HEAD_PORT=${HEAD_PORT:-$(free_port)}
  RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$("$PYTHON" -c 'import secrets; print(secrets.token_hex(32))')}
  export PYTHON HEAD_ADDRESS HEAD_PORT RAY_OPTIONS HEAD_OPTIONS RAY_AUTH_TOKEN RAY_AUTH_MODE=token
  export RAY_ADDRESS=$HEAD_ADDRESS:$HEAD_PORT
  export VERL_USE_EXTERNAL_MODULES=${VERL_USE_EXTERNAL_MODULES:-rvpo_verl}
}

# Becomes the head. Run on its node.
start_head() {
  local options address=$RAY_ADDRESS
  read -ra options <<<"$RAY_OPTIONS $HEAD_OPTIONS"
  unset RAY_ADDRESS                             # `ray start --head` refuses it
  exec "$PYTHON" -m ray.scripts.scripts start --head --block --disable-usage-stats \
    --node-ip-address="${address%:*}" --port="${address##*:}" "${options[@]}"
}

# Becomes a worker of the cluster at RAY_ADDRESS. Run on its node; NODE_ADDRESS, where set there, is its address.
join_cluster() {
  local options
  read -ra options <<<"$RAY_OPTIONS ${NODE_ADDRESS:+--node-ip-address=$NODE_ADDRESS}"
  exec "$PYTHON" -m ray.scripts.scripts start --block --disable-usage-stats --address="$RAY_ADDRESS" "${options[@]}"
}

# Runs a command until it ends, or standard input does or is silent for a minute: so a node ends with the connection
# that started it, even one that broke unnoticed.
while_connected() {
  exec 3<&0
  ("$@") </dev/null 3<&- &
  local node=$!
  while read -r -t 60 _ <&3; do :; done &
  local connection=$! told=
  trap 'told=1' TERM HUP
  while [ -z "$told" ] && kill -0 "$node" 2>/dev/null && kill -0 "$connection" 2>/dev/null; do sleep 1; done
  STOP_SECONDS=$((STOP_SECONDS / 2)) end "$node" # before whoever told this to end loses patience
  kill "$connection" 2>/dev/null || true
  wait "$node"
}

# hold NAME COMMAND...: a node that lives as long as the command, with its output in LOGS/NAME.log.
hold() {
  local name=$1
  shift
  ("$@") >"$LOGS/$name.log" 2>&1 &
  NODES[$name]=$!
}

# The name of a node whose process has ended, if there is one.
lost_node() {
  local name
  for name in "${!NODES[@]}"; do
    if ! kill -0 "${NODES[$name]}" 2>/dev/null; then
      echo "$name"
      return
    fi
  done
}

# supervise COMMAND...: runs it, and ends it with NODE_LOST as soon as a node is lost, as it might wait for that for ever.
supervise() {
  local lost status=0
  "$@" &
  RUN=$!
  while kill -0 "$RUN" 2>/dev/null && [ -z "$(lost_node)" ]; do sleep 1; done
  lost=$(lost_node)
  [ -n "$lost" ] && end "$RUN"
  wait "$RUN" || status=$?
  RUN=
  if [ "$status" -ne 0 ] && [ -z "$lost" ]; then # the run may have noticed first
    sleep 3
    lost=$(lost_node)
  fi
  if [ "$status" -ne 0 ] && [ -n "$lost" ]; then
    echo "Node $lost is lost; its output: $LOGS/$lost.log. Starting again goes on from the last checkpoint." >&2
    tail -n 20 "$LOGS/$lost.log" >&2
    return "$NODE_LOST"
  fi
  return "$status"
}

# Waits until the cluster has so many nodes, all with the same versions of all that matters.
wait_for_nodes() {
  # A node lost this early was most likely started wrongly: no NODE_LOST, nothing starts again by itself.
  supervise "$PYTHON" "$CLUSTER/nodes.py" --count "$1" --seconds "$JOIN_SECONDS" || return 1
}

# Runs a recipe on the cluster, with its output also in LOGS/run.log.
run_on_cluster() {
  supervise "$@" > >(tee "$LOGS/run.log") 2>&1
}

# Ends processes: politely, and after STOP_SECONDS for good.
end() {
  local deadline=$((SECONDS + STOP_SECONDS))
  kill "$@" 2>/dev/null || true
  while kill -0 "$@" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.2; done
  kill -KILL "$@" 2>/dev/null || true
}

# Ends the run and every node that was started here, whatever state they are in.
stop_cluster() {
  [ -z "$RUN" ] || end "$RUN"
  local head=${NODES[head]:-}
  unset 'NODES[head]'
  end "${NODES[@]}"                             # all at once, and before the head, which they take their leave of
  [ -z "$head" ] || end "$head"
  NODES=() RUN=
}

# From here on this script's end, for whatever reason, is the cluster's.
stop_cluster_at_exit() {
  trap stop_cluster EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT
  trap 'exit 129' HUP
}
