"""One HTTP/1.1 connection. httptools parses what comes back, as in uvicorn."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import httptools


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    content: bytes


class Connection(asyncio.Protocol):
    """Carries one request after the other; open until `closed`."""

    def __init__(self) -> None:
        self.closed = False
        self.unused_since = 0.0
        self._ends_with_connection = False
        """Nothing but the end of the connection says where the answer ends."""
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None

    async def ask(self, request: bytes, timeout: float, *, until_head: bool = False) -> Answer:
        """Sends a request. Whatever ends the wait for its answer closes the connection, so that no other gets it.

        Args:
            until_head: the answer to expect has a head and nothing else, as that to CONNECT.

        Raises:
            TimeoutError: no answer within `timeout` seconds.
            ConnectionError: it is not HTTP, or the connection was lost.
        """
        loop = asyncio.get_running_loop()
        self._parser, self._until_head = httptools.HttpResponseParser(self), until_head
        self._ends_with_connection = False
        self._answer = loop.create_future()
        timer = loop.call_later(timeout, self._fail, TimeoutError())
        try:
            if self.closed:
                raise ConnectionResetError("the connection is closed")
            self._transport.write(request)
            return await self._answer
        except BaseException:
            self.abort()
            raise
        finally:
            timer.cancel()
            self._answer = None

    async def encrypt(self, host: str) -> None:
        """Goes on with TLS."""
        loop = asyncio.get_running_loop()
        try:
            self._transport = await loop.start_tls(self._transport, self, tls(), server_hostname=host)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        self.closed = True
        self._transport.abort()

    # Called by asyncio.

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # it was not asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionError(f"no HTTP/1.1 answer: {type(error).__name__} {error}".rstrip()))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and error is None and self._ends_with_connection:
            self._succeed()
        self._fail(error or ConnectionResetError("the server closed the connection without an answer"))

    # Called by httptools.

    def on_message_begin(self) -> None:
        if self._answer.done():
            self.closed = True  # a second answer
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        framed = {"content-length", "transfer-encoding"} & self._headers.keys()
        self._ends_with_connection = not framed and self._parser.get_status_code() >= 200
        if self._until_head:
            self._succeed()

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:  # else another follows, as after 103
            self.closed |= not self._parser.should_keep_alive()
            self._succeed()

    def _succeed(self) -> None:
        if not self._answer.done():
            status = self._parser.get_status_code()
            self._answer.set_result(Answer(status, self._headers, b"".join(self._body)))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    return ssl.create_default_context()
