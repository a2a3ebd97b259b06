# shellcheck shell=bash
# Sourced by scripts that start a server: prints a TCP port that is free on this machine now.
free_port() {
  "${PYTHON:-python3}" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'
}
