"""Files of calls for people: what the judge was asked, what it wrote, and what was read in it."""

import hashlib
import json
import os
import socket
import time
from logging import LogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge.config import CallLogConfig


class CallLog:
    """The file of one process, bounded in size: the newest calls are kept. A disk that is full stops no training."""

    def __init__(self, config: CallLogConfig):
        """
        Raises:
            ConfigError: the folder cannot be made.
        """
        self._share = config.share
        self._file: RotatingFileHandler | None = None
        if config.folder is not None:
            folder = Path(config.folder).expanduser()
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(
                    f"log.folder={config.folder}: {type(error).__name__}; expected a folder that can be written on "
                    "every node, or null for no log"
                ) from None
            path = folder / f"judge-calls-{socket.gethostname()}-{os.getpid()}.jsonl"
            # Two files of half the size. Their names match `judge*.jsonl`, which `rvpo-verl report` reads.
            self._file = RotatingFileHandler(
                path, maxBytes=int(config.max_mb * 5e5), backupCount=1, delay=True
            )
            self._file.namer = lambda name: name.replace(".jsonl.1", ".older.jsonl")

    def wants(self, answer: str) -> bool:
        """Whether the calls about this answer are written: all of them, or none."""
        if self._file is None:
            return False
        digest = hashlib.blake2b(answer.encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self._share * 2**64

    def write(self, **call: Any) -> None:
        if self._file is not None:
            line = json.dumps({"time": round(time.time(), 3), **call})
            self._file.emit(LogRecord("judge", 0, "", 0, line, None, None))
