"""As much of HTTP/1.1 as a judge's endpoint needs: requests and their answers over connections that are kept.

At 15,000 calls a step the client's own work limits the rate, and most of that work is what a general client does for
each call (`scripts/bench_judge.py --peer`).
"""

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from rvpo_verl.judge.connection import Answer, Connection, tls

KEPT_SECONDS = 4.0
"""How long an unused connection is kept: uvicorn, and with it vLLM and SGLang, closes one after 5 seconds."""


class Server:
    """A server by its base URL, and the connections to it, of each event loop its own.

    A proxy is used where the environment names one for it, as other clients do.
    """

    def __init__(self, base_url: str):
        """
        Raises:
            ValueError: the environment names a proxy for it that is not an HTTP one.
        """
        url = urlsplit(base_url)
        self._secure = url.scheme == "https"
        self._host, self._port = url.hostname, url.port or (443 if self._secure else 80)
        self._name = url.netloc.encode("idna").decode()
        self._path = quote(url.path, safe="/%:@!$&'()*+,;=~")
        self._head: list[str] = [f"Host: {self._name}"]
        proxy = None if proxy_bypass(url.hostname) else getproxies().get(url.scheme)
        self._proxy = Proxy(proxy) if proxy else None
        if self._proxy and not self._secure:
            self._path = f"http://{self._name}{self._path}"
            self._head += self._proxy.authorization
        self._kept: dict[asyncio.AbstractEventLoop, tuple[deque[Connection], AsyncIterator[None]]] = {}

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Answer:
        """
        Args:
            path: goes on from the base URL.
            timeout: seconds until the whole answer has to be there.

        Raises:
            TimeoutError: it was not.
            OSError: no connection, or one that was lost.
        """
        loop = asyncio.get_running_loop()
        until, kept = loop.time() + timeout, await self._kept_here()
        connection = _youngest(kept, loop.time() - KEPT_SECONDS)
        if connection is None:
            try:
                connection = await asyncio.wait_for(self._connect(timeout), timeout)
            except asyncio.TimeoutError:
                raise TimeoutError from None  # before Python 3.11 a class of its own
        head = [f"{method} {self._path}{path} HTTP/1.1", *self._head, f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        answer = await connection.ask(_bytes(head) + body, until - loop.time())
        if connection.closed:
            connection.abort()
        else:
            connection.unused_since = loop.time()
            kept.append(connection)
        return answer

    async def _connect(self, timeout: float) -> Connection:
        loop, proxy = asyncio.get_running_loop(), self._proxy
        if proxy is None:
            context = tls() if self._secure else None
            return (await loop.create_connection(Connection, self._host, self._port, ssl=context))[1]
        connection: Connection = (await loop.create_connection(Connection, proxy.host, proxy.port))[1]
        if self._secure:
            host = f"[{self._host}]" if ":" in self._host else self._host
            target = f"{host.encode('idna').decode()}:{self._port}"
            head = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *proxy.authorization]
            answer = await connection.ask(_bytes(head), timeout, until_head=True)
            if answer.status != 200:
                connection.abort()
                raise ConnectionError(f"the proxy {proxy} answered with HTTP {answer.status}")
            await connection.encrypt(self._host)
        return connection

    async def _kept_here(self) -> deque[Connection]:
        """The connections of the running loop, which they cannot leave."""
        loop = asyncio.get_running_loop()
        if loop not in self._kept:
            keeper = self._keep(loop)
            self._kept[loop] = deque(), keeper
            await anext(keeper)
        return self._kept[loop][0]

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> AsyncIterator[None]:
        """Closes them with their loop: `asyncio.run` ends generators that are still open as its last act."""
        try:
            yield
        finally:
            for connection in self._kept.pop(loop)[0]:
                connection.abort()
            await asyncio.sleep(0)


class Proxy:
    def __init__(self, address: str):
        url = urlsplit(address if "://" in address else f"http://{address}")
        if url.scheme != "http" or not url.hostname:
            raise ValueError(
                f"the environment names a proxy of the kind {url.scheme!r}; expected http://HOST:PORT, or the "
                "judge's host in NO_PROXY"
            )
        self.host, self.port = url.hostname, url.port or 80
        self.authorization: list[str] = []
        if url.username:
            user = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
            self.authorization = [f"Proxy-Authorization: Basic {base64.b64encode(user).decode()}"]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _youngest(kept: deque[Connection], oldest: float) -> Connection | None:
    """The connection that was used last, so that those too many grow old, which are closed."""
    while kept and (kept[0].closed or kept[0].unused_since < oldest):
        kept.popleft().abort()
    while kept:
        connection = kept.pop()
        if not connection.closed:
            return connection
    return None


def _bytes(head: list[str]) -> bytes:
    return "\r\n".join([*head, "", ""]).encode("latin-1")
