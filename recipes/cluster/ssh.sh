#!/usr/bin/env bash
# Runs a recipe on machines that ssh reaches: this one is the head, HOSTS are the others.
#   HOSTS="b c" recipes/cluster/ssh.sh recipes/tool_calling.sh 3b [OPTION=VALUE ...]
# This folder, the working directory, data, models and OUTPUT must have the same path on every machine. The cluster ends
# with this script, also when a signal ends it. Exit status 75: a machine was lost, and the same command resumes.
set -euo pipefail

# ------------------------------------------- user-adjustable -------------------------------------------
HOSTS=${HOSTS:?"the other machines, such as HOSTS=\"b c\""}
SSH=${SSH:-ssh -o BatchMode=yes -o ServerAliveInterval=15 -o ServerAliveCountMax=4}
# --------------------------------------------------------------------------------------------------------

source "$(dirname "${BASH_SOURCE[0]}")/ray.sh"

[ $# -gt 0 ] || { echo "usage: HOSTS=\"b c\" $0 RECIPE SIZE [OPTION=VALUE ...]" >&2; exit 2; }
read -ra HOSTS <<<"$HOSTS"
read -ra SSH <<<"$SSH"
export NNODES=$((1 + ${#HOSTS[@]}))

# Prints the script that another machine runs to join. It contains keys, so it is sent through standard input and not on
# a command line, which every user can read. An empty line every 5 s then tells the node that this side is alive.
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
