"""The key of an endpoint: from an environment variable, a file or a command, none of which appears anywhere."""

import os
import shlex
import subprocess
from pathlib import Path

from rvpo_verl.errors import ConfigError

COMMAND_SECONDS = 60


class Key:
    """A key that may be replaced while a training runs."""

    def __init__(self, variable: str | None, file: str | None, command: str | None):
        """At most one of them is given.

        Raises:
            ConfigError: there is no key there, or none that can be sent.
        """
        self._variable, self._file, self._command = variable, file, command
        self.value = self._read()
        self._known = [self.value] if self.value else []

    def read_again(self) -> None:
        """Keeps the key where there is none now. Blocks while a command runs."""
        try:
            self.value = self._read()
        except ConfigError:
            return
        if self.value is not None and self.value not in self._known:
            self._known.append(self.value)

    def hide(self, text: str) -> str:
        """The text without any key that was sent."""
        for key in self._known:
            text = text.replace(key, "[key]")
        return text

    def _read(self) -> str | None:
        if self._variable is not None:
            source, key = f"api_key_env={self._variable}", os.environ.get(self._variable, "")
            missing = (
                f"this environment variable is not set (process {os.getpid()}). Set it in the environment of the "
                "command and of every Ray worker"
            )
        elif self._file is not None:
            source, missing = f"api_key_file={self._file}", "this file is empty"
            try:
                key = Path(self._file).expanduser().read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{source}: {type(error).__name__} while reading it") from None
        elif self._command is not None:
            source, missing = f"api_key_command={self._command!r}", "it wrote nothing to its standard output"
            try:
                key = subprocess.run(
                    shlex.split(self._command),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=COMMAND_SECONDS,
                    check=True,
                ).stdout
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                # Not its output, which may contain a key.
                status = getattr(error, "returncode", None)
                what = f"ended with status {status}" if status is not None else type(error).__name__
                raise ConfigError(f"{source}: {what}") from None
        else:
            return None
        key = key.strip()
        if not key:
            raise ConfigError(f"{source}: {missing}")
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"{source}: it contains line breaks or non-ASCII characters, which no key contains"
            )
        return key
