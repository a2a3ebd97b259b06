#!/usr/bin/env bash
# shellcheck disable=SC2317,SC2329 # the stages are called by name
# Runs the tests in stages that print their time: ./scripts/test.sh [STAGE ... | options of pytest]
#
#   lint      ruff, typos                                                   seconds
#   types     mypy                                                          a minute
#   quick     every test but those of the other stages                      5 minutes
#   docs      the site is built, and what README and docs say is tried      2 minutes
#   wheel     it is built, installed into a new environment and used        1 minute
#   launcher  trains through verl's launcher, and asks vLLM, on this CPU    25 minutes, beside quick, docs, wheel, versions
#   versions  contract tests on verl 0.8.0 and 0.7.1                        5 minutes
#
# Without arguments: all but versions. Options of pytest, such as a file or -k NAME, are handed to it instead.
# Tests that open the report in a browser need Chromium and its driver (apt-get install chromium chromium-driver).
# VLLM=no does not install vLLM's CPU build (1 GB) and skips the tests that need it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

DOCS=(tests/unit/test_docs.py tests/unit/test_documented.py)
tests() { timeout 4800 .venv/bin/python -m pytest "$@"; }

# `set -e` does not hold within a stage: commands are joined by &&.
lint() { .venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/typos; }
types() {
  # Without inspect, which needs Python 3.11, some of the types are unknown.
  ! .venv/bin/python -c 'import inspect_ai' 2>/dev/null || .venv/bin/mypy
}
quick() { tests -p no:cacheprovider -m "not launcher and not vllm" "${DOCS[@]/#/--ignore=}"; }
docs() { tests -p no:cacheprovider "${DOCS[@]}"; }
wheel() { ./scripts/check_wheel.sh; }
launcher() { tests -p no:cacheprovider -m "launcher or vllm"; }
versions() { ./scripts/test_versions.sh 0.8.0 0.7.1; }

# run STAGE ...: one after the other, all of them; fails if one does.
run() {
  local stage start status failed=0
  for stage in "$@"; do
    start=$SECONDS status=0
    echo "== $stage"
    "$stage" || status=$? failed=1
    echo "== $stage: $([ $status = 0 ] && echo passed || echo FAILED) after $((SECONDS - start)) s"
  done
  return $failed
}

asked=("$@")
case "${1:-}" in
  "") asked=(lint types quick docs wheel launcher) ;;
  -* | */* | *.py) asked=() ;;
esac
early=() beside=() long=()
for stage in ${asked[@]+"${asked[@]}"}; do
  case $stage in
    lint | types) early+=("$stage") ;;
    quick | docs | wheel | versions) beside+=("$stage") ;;
    launcher) long+=("$stage") ;;
    *) echo "There is no stage '$stage': lint, types, quick, docs, wheel, launcher, versions." >&2 && exit 2 ;;
  esac
done

environment test
nltk_data .venv
[ "${VLLM:-yes}" = no ] || vllm_cpu
if [ ${#asked[@]} = 0 ]; then
  tests "$@"
  exit
fi

failed=0
run ${early[@]+"${early[@]}"} || exit 1
if [ ${#long[@]} = 0 ]; then
  run ${beside[@]+"${beside[@]}"} || failed=1
else
  others=$(mktemp)
  run ${beside[@]+"${beside[@]}"} >"$others" 2>&1 &
  run "${long[@]}" || failed=1
  wait $! || failed=1
  cat "$others"
fi
exit $failed
