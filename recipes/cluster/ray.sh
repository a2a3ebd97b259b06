# shellcheck shell=bash
# Sourced by the scripts of this folder: a Ray cluster whose nodes live as long as the processes that started them.
# A node is a process `ray start --block`. When it ends, the node ends with everything that runs on it, and no other
# Ray does; `ray stop`, which `ray symmetric-run` calls, ends every Ray of the user on the machine.

# ------------------------------------------- user-adjustable -------------------------------------------
PYTHON=${PYTHON:-python3}                       # the one with verl and this package, on every node
HEAD_ADDRESS=${HEAD_ADDRESS:-}                  # of this node, if it has several; empty lets Ray choose
HEAD_PORT=${HEAD_PORT:-}                        # empty takes a free one
RAY_OPTIONS=${RAY_OPTIONS:-}                    # more options of `ray start`, on every node
HEAD_OPTIONS=${HEAD_OPTIONS:-}                  # and on the head only
JOIN_SECONDS=${JOIN_SECONDS:-300}               # until all nodes must have joined
STOP_SECONDS=${STOP_SECONDS:-20}                # between SIGTERM and SIGKILL
LOGS=${LOGS:-logs/cluster/$(date +%Y%m%d-%H%M%S)-$$}
FORWARD=${FORWARD:-}                            # names of more variables to pass to every node
# --------------------------------------------------------------------------------------------------------

CLUSTER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NODE_LOST=75                                    # exit status: a node failed; the same command resumes
declare -A NODES=()                             # name -> process that runs the node
RUN=                                            # process of the run
source "$CLUSTER/../free_port.sh"

ray() { "$PYTHON" -m ray.scripts.scripts "$@"; }

# Prints the names of the exported variables that every node needs, one per line. Arguments: more names to include.
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

# Sets what all nodes must share: RAY_ADDRESS, and an authentication token for this cluster only.
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

# Replaces this process by the head node.
start_head() {
  local options address=$RAY_ADDRESS
  read -ra options <<<"$RAY_OPTIONS $HEAD_OPTIONS"
  unset RAY_ADDRESS                             # `ray start --head` refuses it
  exec "$PYTHON" -m ray.scripts.scripts start --head --block --disable-usage-stats \
    --node-ip-address="${address%:*}" --port="${address##*:}" "${options[@]}"
}

# Replaces this process by a worker node of the cluster at RAY_ADDRESS. NODE_ADDRESS, if set there, is its address.
join_cluster() {
  local options
  read -ra options <<<"$RAY_OPTIONS ${NODE_ADDRESS:+--node-ip-address=$NODE_ADDRESS}"
  exec "$PYTHON" -m ray.scripts.scripts start --block --disable-usage-stats --address="$RAY_ADDRESS" "${options[@]}"
}

# Runs a command until it ends, standard input ends, or standard input is silent for a minute. A node therefore ends
# with the ssh connection that started it, also when that connection broke without a message.
while_connected() {
  exec 3<&0
  ("$@") </dev/null 3<&- &
  local node=$!
  while read -r -t 60 _ <&3; do :; done &
  local connection=$! stopped=
  trap 'stopped=1' TERM HUP
  while [ -z "$stopped" ] && kill -0 "$node" 2>/dev/null && kill -0 "$connection" 2>/dev/null; do sleep 1; done
  STOP_SECONDS=$((STOP_SECONDS / 2)) end "$node" # before the sender of the signal sends SIGKILL
  kill "$connection" 2>/dev/null || true
  wait "$node"
}

# hold NAME COMMAND...: starts the command as the node NAME, with its output in LOGS/NAME.log.
hold() {
  local name=$1
  shift
  ("$@") >"$LOGS/$name.log" 2>&1 &
  NODES[$name]=$!
}

# Prints the name of a node whose process has ended, if there is one.
lost_node() {
  local name
  for name in "${!NODES[@]}"; do
    if ! kill -0 "${NODES[$name]}" 2>/dev/null; then
      echo "$name"
      return
    fi
  done
}

# supervise COMMAND...: runs it; when a node is lost, ends it and returns NODE_LOST, because verl would wait forever.
supervise() {
  local lost status=0
  "$@" &
  RUN=$!
  while kill -0 "$RUN" 2>/dev/null && [ -z "$(lost_node)" ]; do sleep 1; done
  lost=$(lost_node)
  [ -n "$lost" ] && end "$RUN"
  wait "$RUN" || status=$?
  RUN=
  if [ "$status" -ne 0 ] && [ -z "$lost" ]; then # the run may fail before the node's process has ended
    sleep 3
    lost=$(lost_node)
  fi
  if [ "$status" -ne 0 ] && [ -n "$lost" ]; then
    echo "Node $lost is lost; its output: $LOGS/$lost.log. The same command resumes from the last checkpoint." >&2
    tail -n 20 "$LOGS/$lost.log" >&2
    return "$NODE_LOST"
  fi
  return "$status"
}

# wait_for_nodes COUNT: waits until that many nodes have joined, and checks that they have the same software.
wait_for_nodes() {
  # A node that is lost this early was probably configured wrongly, so NODE_LOST, which means "try again", is not used.
  supervise "$PYTHON" "$CLUSTER/nodes.py" --count "$1" --seconds "$JOIN_SECONDS" || return 1
}

# run_on_cluster COMMAND...: runs a recipe, with its output also in LOGS/run.log.
run_on_cluster() {
  supervise "$@" > >(tee "$LOGS/run.log") 2>&1
}

# end PID...: sends SIGTERM, and SIGKILL after STOP_SECONDS.
end() {
  local deadline=$((SECONDS + STOP_SECONDS))
  kill "$@" 2>/dev/null || true
  while kill -0 "$@" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.2; done
  kill -KILL "$@" 2>/dev/null || true
}

# Ends the run and every node that was started here.
stop_cluster() {
  [ -z "$RUN" ] || end "$RUN"
  local head=${NODES[head]:-}
  unset 'NODES[head]'
  end "${NODES[@]}"                             # together, and before the head, from which workers deregister
  [ -z "$head" ] || end "$head"
  NODES=() RUN=
}

# From here on the cluster ends with this script, also when a signal ends it.
stop_cluster_at_exit() {
  trap stop_cluster EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT
  trap 'exit 129' HUP
}
