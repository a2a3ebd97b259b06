#!/usr/bin/env bash
# Submits a recipe to a running Ray cluster with `ray job submit`:
#   RAY_ADDRESS=http://HEAD:8265 recipes/cluster/submit.sh recipes/tool_calling.sh 3b [OPTION=VALUE ...]
# Nothing is uploaded: recipe, data, models and OUTPUT are in REMOTE_DIR on the cluster. Recipe variables that are set in
# the environment are passed on, and everyone with access to Ray's dashboard can read them: set secret keys in the
# environment of the nodes instead.
set -euo pipefail

# ------------------------------------------- user-adjustable -------------------------------------------
RAY_ADDRESS=${RAY_ADDRESS:?"of the cluster's dashboard, such as http://HEAD:8265"}
REMOTE_DIR=${REMOTE_DIR:-$PWD}                  # on the cluster; the working directory of the recipe
REMOTE_PYTHON=${REMOTE_PYTHON:-python3}         # on the cluster
SUBMIT_OPTIONS=${SUBMIT_OPTIONS:-}              # of `ray job submit`, such as --no-wait
# --------------------------------------------------------------------------------------------------------

source "$(dirname "${BASH_SOURCE[0]}")/ray.sh"

[ $# -gt 0 ] || { echo "usage: RAY_ADDRESS=http://HEAD:8265 $0 RECIPE SIZE [OPTION=VALUE ...]" >&2; exit 2; }
export VERL_USE_EXTERNAL_MODULES=${VERL_USE_EXTERNAL_MODULES:-rvpo_verl}
export RAY_OVERRIDE_JOB_RUNTIME_ENV=1           # otherwise Ray refuses a variable that the recipe sets too
read -ra SUBMIT_OPTIONS <<<"$SUBMIT_OPTIONS"

# Every variable that a recipe reads as NAME=${NAME:-...}.
readarray -t RECIPE_VARIABLES < <(
  find "$(dirname "$CLUSTER")" -name '*.sh' ! -path "$CLUSTER/*" -exec sed -n 's/^\([A-Z_]*\)=\${\1:-.*/\1/p' {} +
)

runtime_env() {
  local names
  readarray -t names < <(
    forwarded "${RECIPE_VARIABLES[@]}" | grep -vxE 'RAY_A.*|PATH|LD_LIBRARY_PATH|VIRTUAL_ENV|CONDA_PREFIX|PYTHON'
  )
  "$PYTHON" -c '
import json, os, sys
names = [name for name in sys.argv[1:] if name]
print(json.dumps({"env_vars": {name: os.environ[name] for name in names}}))' "${names[@]}"
}

# shellcheck disable=SC2016 # the cluster's shell expands these
ENTRYPOINT=(
  bash -c 'cd "$1" && "$2" "$3/nodes.py" --count "$4" && export PYTHON=$2 && shift 4 && exec "$@"' submit
  "$REMOTE_DIR" "$REMOTE_PYTHON" "${REMOTE_CLUSTER:-recipes/cluster}" "${NNODES:-1}"
)
ray job submit --address "$RAY_ADDRESS" --runtime-env-json "$(runtime_env)" "${SUBMIT_OPTIONS[@]}" \
  -- "${ENTRYPOINT[@]}" "$@"
