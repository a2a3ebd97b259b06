#!/usr/bin/env bash
# A recipe on machines that ssh reaches, this one the head and HOSTS the others:
#   HOSTS="b c" ./ssh.sh ../tool_calling/run_qwen2.5_3b_fsdp.sh [OPTION=VALUE ...]
# On every machine this folder, the working directory, data, models and OUTPUT lie at the same path. The cluster ends
# with this script, whichever way that ends. Exit status 75: a machine was lost, and the same command goes on.
set -euo pipefail

# ------------------------------------------- user-adjustable -------------------------------------------
HOSTS=${HOSTS:?"the other machines, such as HOSTS=\"b c\""}
SSH=${SSH:-ssh -o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=4}
# --------------------------------------------------------------------------------------------------------

source "$(dirname "${BASH_SOURCE[0]}")/ray.sh"

[ $# -gt 0 ] || { echo "usage: HOSTS=\"b c\" $0 RECIPE [OPTION=VALUE ...]" >&2; exit 2; }
read -ra HOSTS <<<"$HOSTS"
read -ra SSH <<<"$SSH"
export NNODES=$((1 + ${#HOSTS[@]}))

# What another machine does to join. It goes through standard input, not the command line, where all could read the
# keys in it; after it a line now and then says that this side lives. Without them the node ends.
join_script() {
  local names
  readarray -t names < <(forwarded PYTHON RAY_OPTIONS)
  declare -p "${names[@]}"
  printf 'cd %q\nsource %q\nwhile_connected join_cluster\n' "$PWD" "$CLUSTER/ray.sh"
  while kill -0 $$ 2>/dev/null && echo 2>/dev/null; do sleep 5; done
}

join_from() {
  exec "${SSH[@]}" "$1" bash -s < <(join_script)
}

prepare_cluster
stop_cluster_at_exit
hold head start_head
for host in "${HOSTS[@]}"; do hold "$host" join_from "$host"; done
wait_for_nodes "$NNODES"
run_on_cluster "$@"
