#!/usr/bin/env bash
# Builds the wheel, checks it, installs it into a new environment and uses it from an empty folder:
#   ./scripts/check_wheel.sh [--clean] [--keep FOLDER]
# The new environment takes verl and torch from .venv; with --clean pip installs all of them, by PYTHON. FOLDER gets what
# was built, if it works.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
clean=no keep=
while [ $# -gt 0 ]; do
  case $1 in
    --clean) clean=yes ;;
    --keep) keep=$(realpath --canonicalize-missing "$2") && shift ;;
    *) echo "Unknown option $1: --clean, --keep FOLDER." >&2 && exit 2 ;;
  esac
  shift
done
environment test

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
.venv/bin/python -m twine check --strict "$work"/dist/*

if [ $clean = yes ]; then
  "$(python_between 10 13)" -m venv "$work/env"
  install "$work/env" --upgrade "pip>=24.1"
  # verl's trainers import packages that verl does not require; the extra cpu does.
  install "$work/env" "$(ls "$work"/dist/*.whl)[cpu]"
else
  .venv/bin/python -m venv --without-pip "$work/env"
  .venv/bin/python -m pip --python "$work/env/bin/python" install --quiet --disable-pip-version-check --no-deps \
    --ignore-installed "$work"/dist/*.whl
  echo "import site; site.addsitedir('$(purelib .venv/bin/python)')" >"$(purelib "$work/env/bin/python")/fall_back.pth"
fi

mkdir "$work/elsewhere"
cd "$work/elsewhere"
export VERL_USE_EXTERNAL_MODULES=rvpo_verl PATH=$work/env/bin:$PATH
use() {
  echo "== $*" >&2
  timeout 300 "$@"
}

use rvpo-verl doctor >doctor.txt || { cat doctor.txt; exit 1; }
grep --quiet "Training with rvpo can work here" doctor.txt

# Nothing comes from the repository, and everything that is no Python is in the wheel.
use python - "$work/env" <<'PYTHON'
import importlib.resources, sys
import rvpo_verl
from importlib.metadata import version
package = importlib.resources.files(rvpo_verl)
assert str(package).startswith(sys.argv[1]), package
for file in ("conf/rvpo/default.yaml", "conf/rvpo/rubrics.yaml", "py.typed", "report/assets"):
    assert (package / file).exists(), file
print("rvpo-verl", version("rvpo-verl"), "of", package)
PYTHON

# Hydra finds the presets and composes verl's configuration with them.
use python - <<'PYTHON'
from rvpo_verl.attach.compose import compose_config
overrides = ["data.train_batch_size=8", "actor_rollout_ref.actor.ppo_mini_batch_size=8", "actor_rollout_ref.rollout.n=4",
             "actor_rollout_ref.actor.use_dynamic_bsz=True", "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True"]
config = compose_config("verl.trainer.main_ppo", ["+rvpo=tool_calling", *overrides])
assert config.algorithm.adv_estimator == "rvpo" and "tool_call_format" in config.reward.rvpo.rewards
PYTHON

cat >rows.jsonl <<'JSON'
{"response": "<think> x </think>\n<response> hello </response>", "ground_truth": "<think> x </think>\n<response> hi </response>"}
{"response": "hello", "ground_truth": "<think> x </think>\n<response> hi </response>"}
JSON
use rvpo-verl rewards score tool_call_format --data rows.jsonl | tee scores.jsonl
printf '{"tool_call_format":1.0}\n{"tool_call_format":0.0}\n' | diff - <(tr -d ' ' <scores.jsonl)
[ -z "$keep" ] || { mkdir -p "$keep" && cp "$work"/dist/* "$keep"; }
echo "The wheel works: $(basename "$work"/dist/*.whl)"
