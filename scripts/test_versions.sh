#!/usr/bin/env bash
# Runs the contract tests against every supported verl and prints the table of README.md:
#   ./scripts/test_versions.sh [VERSION ...]
# A version's environment holds that verl with what it needs older, and for everything else falls back on .venv.
# ENVIRONMENTS: where they are made (.venvs). VERL_SOURCE: a tree with the folder `verl` to test in the place of the
# release's own, such as one with a patch applied.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
environment test

ENVIRONMENTS=${ENVIRONMENTS:-.venvs}
VERSIONS=("$@")
[ $# -gt 0 ] || VERSIONS=(0.9.1 0.8.0 0.7.1)
# verl before 0.9 needs numpy 1, which neither the newest pandas nor the newest pyarrow can be imported with.
OLDER=('numpy<2' 'pandas<3.1' 'pyarrow<26')

version_environment() {
  local version=$1 path=$ENVIRONMENTS/verl-$1 base packages
  [ -e "$path/.installed" ] && return
  base=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  packages=("verl==$version")
  case $version in 0.7.* | 0.8.*) packages+=("${OLDER[@]}") ;; esac
  .venv/bin/python -m venv --without-pip --clear "$path"
  echo "import site; site.addsitedir('$base')" >"$("$path/bin/python" -c \
    'import sysconfig; print(sysconfig.get_path("purelib"))')/fall_back.pth"
  .venv/bin/python -m pip --python "$path/bin/python" install --quiet --disable-pip-version-check --no-deps \
    "${packages[@]}"
  touch "$path/.installed"
}

failed=0 reports=()
results=$ENVIRONMENTS/results
mkdir -p "$results"
for version in "${VERSIONS[@]}"; do
  version_environment "$version"
  echo "== verl $version" >&2
  PYTHONPATH=${VERL_SOURCE:-} VERL_USE_EXTERNAL_MODULES=rvpo_verl "$ENVIRONMENTS/verl-$version/bin/python" -m pytest \
    -q -p no:cacheprovider --junitxml "$results/$version.xml" tests/contract >&2 || failed=1
done
for version in "${VERSIONS[@]}"; do reports+=("$results/$version.xml"); done
.venv/bin/python scripts/version_table.py "${reports[@]}"
exit $failed
