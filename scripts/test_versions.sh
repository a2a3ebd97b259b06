#!/usr/bin/env bash
# Runs the contract tests against every supported verl and prints the table of docs/supported.md:
#   ./scripts/test_versions.sh [--patched] [VERSION ...]
# The environment of a version contains that verl and the older packages it needs, and uses .venv for everything else.
# --patched applies the version's patch of patches/ first, and also trains with a patched 0.9.1, the version on which the
# CPU backend runs. ENVIRONMENTS is the folder for the environments (.venvs).
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
# verl before 0.9 needs numpy 1, which the newest pandas and pyarrow do not support.
stamp=.installed-$(cksum <scripts/test_versions.sh | cut -d' ' -f1)
OLDER=('numpy<2' 'pandas<3.1' 'pyarrow<26')

version_environment() {
  local version=$1 path=$2 packages=("verl==$1")
  case $version in 0.7.* | 0.8.*) packages+=("${OLDER[@]}") ;; esac
  .venv/bin/python -m venv --without-pip --clear "$path"
  echo "import site; site.addsitedir('$(purelib .venv/bin/python)')" >"$(purelib "$path/bin/python")/fall_back.pth"
  # --ignore-installed: .venv may have the same version, which must be neither used nor replaced.
  .venv/bin/python -m pip --python "$path/bin/python" install --quiet --disable-pip-version-check --no-deps \
    --ignore-installed "${packages[@]}"
  if [ -n "$patched" ]; then
    patch --silent --strip 1 --directory "$(purelib "$path/bin/python")" <"patches/verl-$version.patch"
  fi
  touch "$path/$stamp"
}

failed=0 reports=()
mkdir -p "$ENVIRONMENTS/results"
for version in "${VERSIONS[@]}"; do
  path=$ENVIRONMENTS/verl-$version$patched report=$ENVIRONMENTS/results/$version$patched.xml
  # An unpatched environment is reused; a patch may have changed.
  if [ -n "$patched" ] || [ ! -e "$path/$stamp" ]; then version_environment "$version" "$path"; fi
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
