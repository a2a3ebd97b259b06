"""HTTP sessions of one endpoint, and the proxy that leads to it."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from rvpo_verl.errors import ConfigError

KEEPALIVE_SECONDS = 4.0
"""How long an idle connection is kept. uvicorn, and with it vLLM and SGLang, closes idle connections after 5 s."""


class Sessions:
    """One `aiohttp.ClientSession` per event loop, because its connections cannot leave the loop."""

    def __init__(self, tls: ssl.SSLContext):
        self._tls = tls
        self._by_loop: dict[
            asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, AsyncGenerator[None, None]]
        ] = {}

    async def get(self) -> aiohttp.ClientSession:
        """The session of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            for closed in [other for other in self._by_loop if other.is_closed()]:
                del self._by_loop[closed]
            session = aiohttp.ClientSession(
                # The number of connections is limited by CallLimit.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS, ssl=self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            closer = self._close_with_loop(loop, session)
            self._by_loop[loop] = session, closer
            await anext(closer)
        return self._by_loop[loop][0]

    async def _close_with_loop(
        self, loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession
    ) -> AsyncGenerator[None, None]:
        """`asyncio.run` closes async generators that are still open when it ends; this one closes the session."""
        try:
            yield
        finally:
            self._by_loop.pop(loop, None)
            await session.close()
            await asyncio.sleep(0)  # transports close in the next iteration of the loop


def tls_context(ca_file: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """Trusts the authorities of the system (or `SSL_CERT_FILE`) and those in `ca_file`; shows a client certificate.

    Raises:
        ConfigError: a file is not there, or is not what it should be.
    """
    context = ssl.create_default_context()
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        given = f"ca_file={ca_file}, client_certificate={certificate}, client_key={key}"
        raise ConfigError(
            f"{given}: {type(error).__name__}: {error}; expected PEM files, on every node"
        ) from None
    return context


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for `url`; None for addresses of this machine, which no proxy can reach.

    aiohttp's `trust_env` is not used: it also sends credentials of `~/.netrc`, and proxies this machine's addresses.

    Raises:
        ConfigError: the environment names a proxy of another kind than HTTP.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(host):
        return None
    proxy = getproxies().get(parts.scheme)
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme != "http" or not urlsplit(proxy).hostname:
        raise ConfigError(
            f"the environment names a proxy of kind {scheme!r} for {url}; accepted: http://HOST:PORT. Set "
            f"{parts.scheme}_proxy to such a proxy, or add {host} to no_proxy"
        )
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
