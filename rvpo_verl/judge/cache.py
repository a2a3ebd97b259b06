"""Verdicts on disk, so that a run that was killed asks for none of them again.

One folder can serve all reward workers of a machine. It has to be a local disk: SQLite, in which they are kept,
does not work over network file systems.
"""

import asyncio
import hashlib
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import diskcache

logger = logging.getLogger("rvpo_verl.judge")

FAILURES = (sqlite3.Error, diskcache.Timeout, OSError)
PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""
AT_A_TIME = 512


class VerdictCache:
    """Verdicts by key. They are read in threads, and written by one of its own, many in a transaction."""

    def __init__(self, folder: Path):
        """
        Raises:
            OSError: the folder cannot be made or written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"the folder {folder} cannot be written")
        # Text on both sides: nothing that was pickled is ever read. Nothing is thrown away to make room.
        self._cache = diskcache.Cache(
            str(folder), disk=diskcache.JSONDisk, eviction_policy="none", cull_limit=0, timeout=PATIENCE
        )
        self._written: SimpleQueue[tuple[str, dict[str, float]]] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()

    async def get(self, keys: Sequence[str]) -> dict[str, dict[str, float]]:
        """What is there of the keys."""
        return await asyncio.to_thread(self._get, keys)

    def put(self, key: str, verdicts: Mapping[str, float]) -> None:
        """Does not wait until it is written, which takes milliseconds."""
        with self._lock:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, daemon=True, name="rvpo-verdicts")
                self._writer.start()
        self._written.put((key, dict(verdicts)))

    def _get(self, keys: Sequence[str]) -> dict[str, dict[str, float]]:
        try:
            found = {key: self._cache.get(key) for key in keys}
        except FAILURES as error:
            logger.error(
                "verdicts in %s cannot be read, so they are asked for: %s", self._cache.directory, error
            )
            return {}
        return {key: verdicts for key, verdicts in found.items() if verdicts is not None}

    def _write(self) -> None:
        while True:
            batch = [self._written.get()]
            while not self._written.empty() and len(batch) < AT_A_TIME:
                batch.append(self._written.get())
            try:
                with self._cache.transact(retry=True):
                    for key, verdicts in batch:
                        self._cache.set(key, verdicts)
            except FAILURES as error:
                logger.error(
                    "%d verdicts could not be kept in %s: %s", len(batch), self._cache.directory, error
                )


def fingerprint(*parts: Any) -> str:
    """A name for all that decides a verdict."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, default=str).encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
