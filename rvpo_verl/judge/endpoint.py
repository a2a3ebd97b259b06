"""One call to one server that implements OpenAI's chat completions."""

import asyncio
import email.utils
import json
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge import verdict
from rvpo_verl.judge.config import EndpointConfig
from rvpo_verl.judge.session import Sessions, proxy_for

MAX_EXCERPT_CHARS = 160
COOLDOWN_SECONDS = 20.0
"""How long an endpoint that failed is asked only if no other endpoint is available."""
FAILURES_UNTIL_COOLDOWN = 3
SPREAD = 0.5
"""Of a pause, over which the calls that waited for its end are spread."""


class JudgeError(Exception):
    """A call that gave no verdict. The message names endpoint and model, and never contains a key."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool = True,
        status: int | None = None,
        retry_after: float = 0.0,
    ):
        """
        Args:
            kind: what failures are counted by.
            retryable: whether the same call may succeed later.
            status: HTTP status of the response, if there is one.
            retry_after: seconds that the server asked to wait.
        """
        super().__init__(message)
        self.kind, self.retryable, self.status, self.retry_after = kind, retryable, status, retry_after

    @property
    def cause(self) -> str:
        return f"{self.kind}: {self}"


@dataclass(frozen=True)
class Completion:
    text: str
    finish_reason: str | None
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True)
class _Response:
    status: int
    headers: Mapping[str, str]
    content: bytes


class Endpoint:
    """A server, the model to ask there, and whether it currently answers."""

    def __init__(self, config: EndpointConfig, timeout: float, *, use_proxy: bool = True):
        """
        Args:
            timeout: seconds for one call.
            use_proxy: whether the environment's proxies apply. Not to verl's own router, which is inside the cluster.

        Raises:
            ConfigError: the key is not set or cannot be sent, or the proxy is of another kind than HTTP.
        """
        self.config = config
        self.model = config.model
        self.form = verdict.FORMS[0]
        """How the form of verdicts is requested there, one of `verdict.FORMS`."""
        self.form_is_known = False
        """Whether the server was seen to accept this form."""
        self._timeout = timeout
        self._proxy = proxy_for(config.base_url) if use_proxy else None
        self._sessions = Sessions(timeout)
        self._key = _read_key(config.api_key_env)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key is not None:
            self._headers["Authorization"] = f"Bearer {self._key}"
        self._failures = 0
        self._cooldown_until = 0.0
        self._pause_until = 0.0

    def __str__(self) -> str:
        return self.config.base_url + (f" ({self.model})" if self.model else "")

    @property
    def in_cooldown(self) -> bool:
        return time.monotonic() < self._cooldown_until

    def pause(self, seconds: float) -> None:
        """Lets all calls to this endpoint wait, because one of them was told to or failed."""
        self._pause_until = max(self._pause_until, time.monotonic() + seconds)

    async def ready(self) -> None:
        """Returns when the pause is over. The calls that waited do not all start at once."""
        while (seconds := self._pause_until - time.monotonic()) > 0:
            await asyncio.sleep(seconds + random.uniform(0, SPREAD * seconds))

    async def encode(self, body: Mapping[str, Any]) -> bytes:
        """The request for one completion as it is sent; `body` is all of it but the model.

        Raises:
            JudgeError: the name of the model is unknown.
        """
        return json.dumps({"model": await self.find_model(), **body}).encode()

    async def complete(self, request: bytes) -> Completion:
        """Requests one completion.

        Raises:
            JudgeError: what happened.
        """
        return self._completion(await self._request("POST", "/chat/completions", request))

    async def find_model(self) -> str:
        """The configured model, or the only one that the server lists.

        Raises:
            JudgeError: the server lists none or several, or cannot be asked.
        """
        if self.model is None:
            listed = await self._request("GET", "/models", None)
            try:
                models = [str(model["id"]) for model in listed["data"]]
            except (TypeError, KeyError):
                models = []
            if len(models) != 1:
                raise JudgeError(
                    "rejected",
                    f"{self} lists the models {models}: set endpoints.model to one",
                    retryable=False,
                )
            (self.model,) = models
        return self.model

    async def _request(self, method: str, path: str, body: bytes | None) -> Any:
        """The JSON that the server returns."""
        try:
            response = await self._send(method, path, body)
            if response.status != 200:
                raise self._http_error(response)
        except JudgeError as error:
            if error.kind in ("connection", "timeout", "server_error"):
                self._failures += 1
                if self._failures >= FAILURES_UNTIL_COOLDOWN:
                    self._cooldown_until = time.monotonic() + COOLDOWN_SECONDS
            raise
        self._failures, self._cooldown_until = 0, 0.0
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            excerpt = self._excerpt(response.content)
            raise JudgeError("malformed", f"{self} answered with no JSON: {excerpt}") from None

    async def _send(self, method: str, path: str, body: bytes | None) -> _Response:
        session = await self._sessions.get()
        try:
            async with session.request(
                method,
                self.config.base_url + path,
                data=body,
                headers=self._headers,
                proxy=self._proxy,
                allow_redirects=False,  # the key must not reach another host
            ) as response:
                return _Response(response.status, response.headers, await response.read())
        except asyncio.TimeoutError:  # a class of its own before Python 3.11
            raise JudgeError("timeout", f"{self} gave no answer within {self._timeout:g} s") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise JudgeError(
                "connection",
                f"{self}: {self._excerpt(str(error.certificate_error))}. If its certificate was issued by your own "
                "authority, set the environment variable SSL_CERT_FILE to a PEM file that contains that authority",
            ) from None
        except aiohttp.ClientHttpProxyError as error:
            proxy = urlsplit(self._proxy)
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

    def _http_error(self, response: _Response) -> JudgeError:
        status = response.status
        kind = "rate_limited" if status == 429 else "server_error" if status >= 500 else "rejected"
        detail = self._excerpt(response.content)
        if 300 <= status < 400 and "Location" in response.headers:
            target = urlsplit(urljoin(self.config.base_url, response.headers["Location"]))
            # Without user and query, which may contain a key.
            target = target._replace(netloc=target.netloc.rpartition("@")[2], query="", fragment="")
            detail = (
                f"a redirect to {self._excerpt(target.geturl())}, which is not followed; correct base_url"
            )
        return JudgeError(
            kind,
            f"{self} answered with HTTP {status}: {detail}",
            retryable=status in (408, 409, 425, 429) or status >= 500,
            status=status,
            retry_after=_retry_after(response.headers),
        )

    def _completion(self, answer: Any) -> Completion:
        """
        Raises:
            JudgeError: it is an error inside of HTTP 200, unfinished, refused, or no completion at all.
        """
        excerpt = self._excerpt(json.dumps(answer))
        try:
            if answer.get("error"):
                raise self._error_in_answer(answer["error"])
            choice = answer["choices"][0]
            message, finish_reason = choice["message"], choice.get("finish_reason")
            usage = answer.get("usage") or {}
            tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
            text = _text(message.get("content"))
            if not text.strip():  # what a server took for reasoning, though it is all that the model wrote
                text = _text(message.get("reasoning_content") or message.get("reasoning"))
            refusal = message.get("refusal")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise JudgeError("malformed", f"{self} answered with no completion: {excerpt}") from None
        if refusal:
            refused = self._excerpt(str(refusal))
            raise JudgeError("refusal", f"{self} refused to answer: {refused}", retryable=False)
        if finish_reason == "length":
            raise JudgeError(
                "truncated", f"{self} was cut off at max_tokens after {tokens[1]} tokens", retryable=False
            )
        if finish_reason == "content_filter":
            raise JudgeError(
                "content_filter", f"{self}: its content filter ended the answer", retryable=False
            )
        if finish_reason == "error":
            raise JudgeError("server_error", f"{self} answered with finish_reason error: {excerpt}")
        return Completion(text, finish_reason, *tokens)

    def _error_in_answer(self, error: Any) -> JudgeError:
        code = error.get("code") if isinstance(error, dict) else None
        status = int(code) if str(code).isdigit() else 500
        kind = "rate_limited" if status == 429 else "server_error" if status >= 500 else "rejected"
        detail = self._excerpt(json.dumps(error))
        message = f"{self} answered with an error inside of HTTP 200: {detail}"
        return JudgeError(kind, message, retryable=status == 429 or status >= 500, status=status)

    def _excerpt(self, text: str | bytes) -> str:
        """The beginning of what a server or a library wrote, without the key, which some servers repeat."""
        text = text.decode(errors="replace") if isinstance(text, bytes) else text
        if self._key is not None:
            text = text.replace(self._key, "[key]")
        return " ".join(text.split())[:MAX_EXCERPT_CHARS]


def _text(content: Any) -> str:
    """The text of a message, which may be a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _read_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"api_key_env={variable}: this environment variable is not set (process {os.getpid()}). Set it in the "
            "environment of the command and of every Ray worker"
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"api_key_env={variable}: this environment variable contains line breaks or non-ASCII characters, which "
            "no key contains"
        )
    return key


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the header `Retry-After` asks for, as a number or a date; 0 without it."""
    value = headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    date = email.utils.parsedate_tz(value)
    return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else 0.0
