"""A server that implements OpenAI's chat completions: one call, and what its replies say about the server."""

import asyncio
import json
import time
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from rvpo_verl.judge.config import EndpointConfig
from rvpo_verl.judge.failure import JudgeError
from rvpo_verl.judge.key import Key
from rvpo_verl.judge.lending import Borrower
from rvpo_verl.judge.limits import CallLimit
from rvpo_verl.judge.once import Once
from rvpo_verl.judge.rates import PerMinute
from rvpo_verl.judge.reply import Completion, Reader, Response
from rvpo_verl.judge.session import Sessions, proxy_for, tls_context

MAX_EXCERPT_CHARS = 160
COOLDOWN_SECONDS = 20.0
"""How long an endpoint that failed is asked only if no other endpoint is available."""
FAILURES_UNTIL_COOLDOWN = 3
REFUSES_EVERYTHING = (401, 402, 403, 404)
"""HTTP statuses that are about the key or the model, and not about a question."""
MODELS_SECONDS = 60.0
TOKENS_PER_BYTE = 0.3
"""Of a request and its completion, until some were seen."""


class Endpoint:
    """A server, the model to ask there, and whether it currently answers."""

    def __init__(
        self, config: EndpointConfig, *, limit: int = 256, reward_workers: int = 1, use_proxy: bool = True
    ):
        """
        Args:
            limit: calls in flight, over all workers.
            reward_workers: processes that share the limit.
            use_proxy: whether the environment's proxies apply. Not to verl's own router, which is inside the cluster.

        Raises:
            ConfigError: a key, certificate or proxy is not there or cannot be used.
        """
        self.config = config
        self.model = config.model
        self.limit, self._workers = limit, reward_workers
        self._proxy = proxy_for(config.base_url) if use_proxy and config.proxy else None
        self._sessions = Sessions(tls_context(config.ca_file, config.client_certificate, config.client_key))
        self._key = Key(config.api_key_env, config.api_key_file, config.api_key_command)
        self._reader = Reader(lambda: str(self), config.base_url, self._excerpt)
        self._in_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _InLoop] = (
            weakref.WeakKeyDictionary()
        )
        self._failures = self._refusals = 0
        self._cooldown_until = 0.0
        self._tokens_per_byte = TOKENS_PER_BYTE

    def __str__(self) -> str:
        return self.config.base_url + (f" ({self.model})" if self.model else "")

    @property
    def in_cooldown(self) -> bool:
        return time.monotonic() < self._cooldown_until

    @property
    def calls(self) -> CallLimit:
        """The calls of the running event loop."""
        return self._of_loop().calls

    @property
    def finding_form(self) -> Once[str]:
        """Of the form in which the endpoint gives verdicts."""
        return self._of_loop().finding_form

    def hide_keys(self, text: str) -> str:
        return self._key.hide(text)

    async def encode(self, body: Mapping[str, Any]) -> bytes:
        """The request for one completion as it is sent; `body` is all of it but the model.

        Values of None in the endpoint's `extra_body` remove a field.

        Raises:
            JudgeError: the name of the model is unknown.
        """
        fields = {"model": await self.find_model(), **body, **self.config.extra_body}
        return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()

    async def complete(self, request: bytes, timeout: float, rank: int = 0) -> Completion:
        """Requests one completion, when the limits allow it.

        Args:
            request: from `encode`.
            timeout: seconds from connecting to the last byte, once the call starts.
            rank: of calls that wait, the lowest comes next.

        Raises:
            JudgeError: what happened.
        """
        of_loop = self._of_loop()
        async with of_loop.calls.slot(rank) as started:
            await of_loop.borrower.wait(self._tokens_per_byte * len(request))
            sent = time.monotonic()
            try:
                answer = await self._request("POST", "/chat/completions", request, timeout)
                completion = self._reader.completion(answer)
            except JudgeError as error:
                self._observe(error, of_loop.calls, started)
                raise
            self._observe(None, of_loop.calls, started)
            seconds = round(time.monotonic() - sent, 4)
        tokens = completion.tokens_in + completion.tokens_out
        self._tokens_per_byte += 0.1 * (tokens / len(request) - self._tokens_per_byte) if tokens else 0
        return replace(completion, seconds=seconds)

    async def find_model(self) -> str:
        """The configured model, or the only one that the server lists, which is asked once.

        Raises:
            JudgeError: the server lists none or several, or cannot be asked.
        """
        if self.model is None:
            self.model = await self._of_loop().finding_model(self._find_model)
        return self.model

    async def _find_model(self) -> str:
        return _only_model(self, await self._request("GET", "/models", None, MODELS_SECONDS))

    def _of_loop(self) -> "_InLoop":
        loop = asyncio.get_running_loop()
        if loop not in self._in_loop:
            self._in_loop[loop] = _InLoop(self, self._workers)
        return self._in_loop[loop]

    def _observe(self, error: JudgeError | None, calls: CallLimit, started: float) -> None:
        """Adapts limits and cooldown to the outcome of a call."""
        kind, status = (error.kind, error.status) if error else (None, None)
        if kind == "rate_limited":
            calls.limited(started, error.retry_after if error else 0.0)
        elif kind in ("connection", "timeout", "server_error"):
            if started < calls.last_success:  # others were answered meanwhile
                return
            self._failures += 1
            if self._failures >= FAILURES_UNTIL_COOLDOWN:
                self._cooldown_until = time.monotonic() + COOLDOWN_SECONDS
                calls.unreachable(started)
        else:
            calls.succeeded()
            self._failures = 0
            self._refusals = self._refusals + 1 if status in REFUSES_EVERYTHING else 0
            refuses = self._refusals >= FAILURES_UNTIL_COOLDOWN
            self._cooldown_until = time.monotonic() + COOLDOWN_SECONDS if refuses else 0.0

    async def _request(self, method: str, path: str, body: bytes | None, timeout: float) -> Any:
        """The JSON that the server returns; once more with another key if there is one and this one is refused."""
        key = self._key.value
        try:
            return self._reader.json(await self._send(method, path, body, timeout))
        except JudgeError as error:
            if error.status != 401:
                raise
            if self._key.value == key:
                await self._of_loop().reading_key(lambda: asyncio.to_thread(self._key.read_again))
            if self._key.value == key:
                raise
        return self._reader.json(await self._send(method, path, body, timeout))

    async def _send(self, method: str, path: str, body: bytes | None, timeout: float) -> Response:
        session = await self._sessions.get()
        try:
            async with session.request(
                method,
                self.config.base_url + path,
                params=self.config.query or None,
                data=body,
                headers=self._headers(),
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,  # the key must not reach another host
            ) as response:
                return Response(response.status, response.headers, await response.read())
        except asyncio.TimeoutError:  # a class of its own before Python 3.11
            raise JudgeError("timeout", f"{self} gave no answer within {timeout:g} s") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise JudgeError(
                "connection",
                f"{self}: {self._excerpt(str(error.certificate_error))}. If its certificate was issued by your own "
                "authority, set ca_file or the environment variable SSL_CERT_FILE to a PEM file that contains that "
                "authority",
            ) from None
        except aiohttp.ClientHttpProxyError as error:
            proxy = urlsplit(self._proxy or "")
            raise JudgeError(
                "connection",
                f"{self}: the proxy {proxy.hostname}:{proxy.port} answered with HTTP {error.status}",
            ) from None
        except aiohttp.ClientResponseError as error:
            raise JudgeError(
                "connection", f"{self}: no HTTP/1.1 answer: {self._excerpt(error.message)}"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            excerpt = self._excerpt(f"{type(error).__name__}: {error}")
            raise JudgeError("connection", f"{self}: {excerpt}") from None

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self.config.headers}
        if self._key.value is not None:
            name = self.config.key_header
            bearer = "Bearer " if name.lower() == "authorization" else ""
            headers[name] = bearer + self._key.value
        return headers

    def _excerpt(self, text: str | bytes) -> str:
        """The beginning of what a server or a library wrote, without the key, which some servers repeat."""
        text = text.decode(errors="replace") if isinstance(text, bytes) else text
        return " ".join(self.hide_keys(text).split())[:MAX_EXCERPT_CHARS]


class _InLoop:
    """What belongs to one event loop."""

    def __init__(self, endpoint: Endpoint, workers: int):
        config = endpoint.config
        self.calls = CallLimit(max(1, endpoint.limit // workers))
        self.borrower = Borrower(
            self.calls,
            config.base_url,
            endpoint.limit,
            workers,
            PerMinute(config.requests_per_minute, config.tokens_per_minute),
        )
        self.finding_model, self.finding_form, self.reading_key = Once[str](), Once[str](), Once[None]()


class Endpoints:
    """The endpoints of a process: judges that ask the same one share its limits, its pauses and its connections."""

    def __init__(self) -> None:
        self._known: dict[str, Endpoint] = {}

    def get(
        self,
        configs: Iterable[EndpointConfig],
        *,
        limit: int,
        reward_workers: int = 1,
        use_proxy: bool = True,
    ) -> list[Endpoint]:
        """
        Args:
            limit: calls in flight to each, over all workers; of several judges the lowest counts.

        Raises:
            ConfigError: a key, certificate or proxy is not there or cannot be used.
        """
        endpoints = []
        for config in configs:
            name = config.model_dump_json()
            if name not in self._known:
                self._known[name] = Endpoint(
                    config, limit=limit, reward_workers=reward_workers, use_proxy=use_proxy
                )
            self._known[name].limit = min(limit, self._known[name].limit)
            endpoints.append(self._known[name])
        return endpoints


def _only_model(endpoint: Endpoint, listed: Any) -> str:
    try:
        models = [str(model["id"]) for model in listed["data"]]
    except (TypeError, KeyError):
        models = []
    if len(models) != 1:
        raise JudgeError(
            "rejected",
            f"{endpoint} lists the models {models}: set endpoints.model to one",
            retryable=False,
        )
    return models[0]
