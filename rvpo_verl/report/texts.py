"""The texts of a page: each once, in compressed parts, without what names the machine."""

import base64
import gzip
import hashlib
import re
from typing import Any

import orjson

PART_CHARS = 1 << 20
"""Texts compressed together."""
PATH = re.compile(r"(?<![\w.:/<])(?:/[\w.@+-]+){2,}")
SECRET = re.compile(r"(?i)\b(bearer\s+|(?:api[-_ ]?key|token|password|secret)\W{1,4}|sk-)[\w.~+/-]{8,}")


class Texts:
    """Texts by number, each once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[bytes, int] = {}
        self._open: list[str] = []
        self._size = 0
        self._count = 0
        self.firsts: list[int] = []
        self.parts: list[str] = []

    def add(self, text: str) -> int:
        text = self._cut(text.encode(errors="replace").decode())  # lone surrogates cannot be written
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if digest not in self._known:
            self._known[digest] = self._count
            if not self._open:
                self.firsts.append(self._count)
            self._count += 1
            self._open.append(text)
            self._size += len(text)
            if self._size >= PART_CHARS:
                self.close()
        return self._known[digest]

    def close(self) -> None:
        if self._open:
            self.parts.append(pack(orjson.dumps(self._open)))
            self._open, self._size = [], 0

    def _cut(self, text: str) -> str:
        left_out = len(text) - self._limit
        if left_out <= 0:
            return text
        half = self._limit // 2
        return f"{text[:half]}\n[... {left_out} characters are not in this page ...]\n{text[-half:]}"


def pack(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, compresslevel=6, mtime=0)).decode()


def redact(text: str) -> str:
    """A cause of a failure without folders of the machine and what looks like a key."""
    text = SECRET.sub(lambda match: match[1] + "[redacted]", text)
    return PATH.sub(lambda match: ".../" + match[0].rpartition("/")[2], text)


def as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()
