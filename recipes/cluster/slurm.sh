#!/usr/bin/env bash
# Runs a recipe on the nodes of a Slurm job. Submit it from the folder that contains recipes/:
#   sbatch --nodes=4 --gpus-per-node=8 recipes/cluster/slurm.sh recipes/rubrics.sh 14b [OPTION=VALUE ...]
# A job that is preempted or loses a node is queued again and resumes from its last checkpoint. OUTPUT, data and models
# must be on a file system that all nodes share.
#SBATCH --job-name=rvpo
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

# ------------------------------------------- user-adjustable -------------------------------------------
RECIPES=${RECIPES:-$SLURM_SUBMIT_DIR/recipes}   # Slurm runs a copy of this file in another folder
MAX_RESTARTS=${MAX_RESTARTS:-10}                # after the loss of a node that Slurm did not notice
LOGS=${LOGS:-logs/cluster/$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}}
CONTAINER=${CONTAINER:-}                        # more options of srun, such as --container-image=...
# --------------------------------------------------------------------------------------------------------

[ -e "$RECIPES/cluster/ray.sh" ] || { echo "RECIPES=$RECIPES: no cluster/ray.sh there" >&2; exit 2; }
# shellcheck source=ray.sh
source "$RECIPES/cluster/ray.sh"

[ $# -gt 0 ] || { echo "usage: sbatch [OPTION ...] recipes/cluster/slurm.sh RECIPE SIZE [OPTION=VALUE ...]" >&2; exit 2; }
export NNODES=$SLURM_JOB_NUM_NODES NGPUS=${NGPUS:-${SLURM_GPUS_ON_NODE:-8}}
mapfile -t HOSTS < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
HEAD=${HOSTS[0]:?"scontrol show hostnames names no node of SLURM_JOB_NODELIST=$SLURM_JOB_NODELIST"} # runs this script

# on TASKS OPTION... FUNCTION: one task per node with all its CPUs, which must be stated since Slurm 22.05.
# shellcheck disable=SC2016,SC2317,SC2329 # the second in versions before 0.10
on() {
  local tasks=$1 options
  shift
  read -ra options <<<"$CONTAINER"
  exec srun --overlap --nodes="$tasks" --ntasks="$tasks" --cpus-per-task="$SLURM_CPUS_ON_NODE" --kill-on-bad-exit=1 \
    "${options[@]}" "${@:1:$#-1}" bash -c 'source "$0" && "$1"' "$CLUSTER/ray.sh" "${!#}"
}

prepare_cluster
stop_cluster_at_exit
hold head on 1 --nodelist="$HEAD" start_head
if [ "$NNODES" -gt 1 ]; then hold workers on $((NNODES - 1)) --exclude="$HEAD" --label join_cluster; fi

wait_for_nodes "$NNODES"
status=0
run_on_cluster "$@" || status=$?
stop_cluster
# Slurm itself queues a preempted job again, and a cancelled job must stay cancelled. Neither is RUNNING any more.
if [ "$status" -eq "$NODE_LOST" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "$MAX_RESTARTS" ] &&
  [ "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T)" = RUNNING ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
