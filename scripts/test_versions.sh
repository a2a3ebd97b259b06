#!/usr/bin/env bash
# Runs the contract tests against every supported verl and prints the table of README.md:
#   ./scripts/test_versions.sh [--patched] [VERSION ...]
# A version's environment holds that verl with what it needs older, and for everything else falls back on .venv.
# --patched tests each with its patch of patches/ applied, and trains with a patched 0.9.1, on which the CPU backend
# runs. ENVIRONMENTS says where the environments are made (.venvs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment test

ENVIRONMENTS=${ENVIRONMENTS:-.venvs}
patched=
if [ "${1:-}" = --patched ]; then
  patched=-patched
  shift
fi
VERSIONS=("$@")
[ $# -gt 0 ] || VERSIONS=(0.9.1 0.8.0 0.7.1)
# verl before 0.9 needs numpy 1, which neither the newest pandas nor the newest pyarrow can be imported with.
OLDER=('numpy<2' 'pandas<3.1' 'pyarrow<26')

purelib() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

version_environment() {
  local version=$1 path=$2 packages=("verl==$1")
  case $version in 0.7.* | 0.8.*) packages+=("${OLDER[@]}") ;; esac
  .venv/bin/python -m venv --without-pip --clear "$path"
  echo "import site; site.addsitedir('$(purelib .venv/bin/python)')" >"$(purelib "$path/bin/python")/fall_back.pth"
  # Even where .venv has the same version: that one is neither patched nor replaced.
  .venv/bin/python -m pip --python "$path/bin/python" install --quiet --disable-pip-version-check --no-deps \
    --ignore-installed "${packages[@]}"
  if [ -n "$patched" ]; then
    patch --silent --strip 1 --directory "$(purelib "$path/bin/python")" <"patches/verl-$version.patch"
  fi
  touch "$path/.installed-$(cksum <scripts/test_versions.sh | cut -d' ' -f1)"
}

failed=0 reports=()
mkdir -p "$ENVIRONMENTS/results"
for version in "${VERSIONS[@]}"; do
  path=$ENVIRONMENTS/verl-$version$patched report=$ENVIRONMENTS/results/$version$patched.xml
  # A patch may have changed; without one, an environment is used again.
  [ -z "$patched" ] && [ -e "$path/.installed-$(cksum <scripts/test_versions.sh | cut -d' ' -f1)" ] ||
    version_environment "$version" "$path"
  tests=(tests/contract)
  if [ "$version$patched" = 0.9.1-patched ]; then
    tests+=(tests/launcher/test_training.py tests/launcher/test_patched.py)
  fi
  echo "== verl $version$patched" >&2
  VERL_USE_EXTERNAL_MODULES=rvpo_verl "$path/bin/python" -m pytest -q -p no:cacheprovider --junitxml "$report" \
    "${tests[@]}" >&2 || failed=1
  reports+=("$report")
done
.venv/bin/python scripts/version_table.py "${reports[@]}"
exit $failed
