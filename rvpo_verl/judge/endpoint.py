"""One call to one server that speaks OpenAI's chat completions."""

import email.utils
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rvpo_verl.judge.config import EndpointConfig
from rvpo_verl.judge.http import Server

LONGEST_REMARK = 160
REST_SECONDS = 20.0
"""How long an endpoint that failed is asked only if no other is left."""
FAILURES_UNTIL_REST = 3


class JudgeError(Exception):
    """A call that brought no verdict. The text names endpoint and model, and never holds a key."""

    def __init__(
        self, kind: str, message: str, *, again: bool, status: int | None = None, retry_after: float = 0.0
    ):
        """
        Args:
            kind: what failures are counted by.
            again: whether the same call may succeed later.
            status: of HTTP, if that is what was wrong.
            retry_after: seconds that the server asked to wait.
        """
        super().__init__(message)
        self.kind, self.again, self.status, self.retry_after = kind, again, status, retry_after

    @property
    def cause(self) -> str:
        return f"{self.kind}: {self}"


@dataclass(frozen=True)
class Completion:
    text: str
    finish_reason: str | None
    tokens_in: int
    tokens_out: int


@dataclass(eq=False)
class Endpoint:
    config: EndpointConfig
    timeout: float
    without_schema: bool = False
    """It refused a schema, so that it is asked in plain words."""
    model: str | None = None
    _failures: int = 0
    _rests_until: float = 0.0
    _headers: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: the environment has no key where one is named, or something that cannot be one, or a proxy
                of another kind than HTTP.
        """
        self.model = self.config.model
        self._server = Server(self.config.base_url)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        variable = self.config.api_key_env
        if variable is not None:
            key = os.environ.get(variable, "").strip()
            if not key:
                raise ValueError(
                    f"api_key_env={variable}: this environment variable is not set (process {os.getpid()}); it is "
                    "needed in the environment of the command and of every Ray worker"
                )
            if not (key.isascii() and key.isprintable()):
                raise ValueError(
                    f"api_key_env={variable}: this environment variable holds line breaks or characters that are in "
                    "no key"
                )
            self._headers["Authorization"] = f"Bearer {key}"

    def __str__(self) -> str:
        return self.config.base_url + (f" ({self.model})" if self.model else "")

    @property
    def rests(self) -> bool:
        return time.monotonic() < self._rests_until

    async def encode(self, body: Mapping[str, Any]) -> bytes:
        """A request for one completion, without the model, as it is sent.

        Raises:
            JudgeError: the model's name cannot be had.
        """
        return json.dumps({"model": await self.find_model(), **body}).encode()

    async def complete(self, request: bytes) -> Completion:
        """Asks for one completion.

        Raises:
            JudgeError: with what happened.
        """
        return self._completion(await self._request("POST", "/chat/completions", request))

    async def find_model(self) -> str:
        """The model of the configuration, or else the only one that the server lists.

        Raises:
            JudgeError: it cannot be had.
        """
        if self.model is None:
            listed = await self._request("GET", "/models", b"")
            try:
                models = [str(model["id"]) for model in listed["data"]]
            except (TypeError, KeyError):
                models = []
            if len(models) != 1:
                raise JudgeError(
                    "rejected", f"{self} lists the models {models}: name one in endpoints.model", again=False
                )
            (self.model,) = models
        return self.model

    async def _request(self, method: str, path: str, body: bytes) -> Any:
        try:
            answer = await self._exchange(method, path, body)
        except JudgeError as error:
            if error.kind in ("connection", "timeout", "server_error"):
                self._failures += 1
                if self._failures >= FAILURES_UNTIL_REST:
                    self._rests_until = time.monotonic() + REST_SECONDS
            raise
        self._failures, self._rests_until = 0, 0.0
        return answer

    async def _exchange(self, method: str, path: str, body: bytes) -> Any:
        try:
            # Redirects are not followed: a key goes to no other host than the one it was given for.
            answer = await self._server.request(method, path, self._headers, body, self.timeout)
        except TimeoutError:
            raise JudgeError(
                "timeout", f"{self} gave no answer within {self.timeout:g} s", again=True
            ) from None
        except OSError as error:
            raise JudgeError("connection", f"{self}: {self._remark(error)}", again=True) from None
        status, headers, content = answer.status, answer.headers, answer.content
        if status != 200:
            raise self._refused(status, content, headers)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise JudgeError(
                "malformed", f"{self} answered with no JSON: {self._remark(content)}", again=True
            ) from None

    def _refused(self, status: int, content: bytes, headers: Mapping[str, str]) -> JudgeError:
        kind = "rate_limited" if status == 429 else "server_error" if status >= 500 else "rejected"
        again = status in (408, 409, 425, 429) or status >= 500
        message = f"{self} answered with HTTP {status}: {self._remark(content)}"
        return JudgeError(kind, message, again=again, status=status, retry_after=_retry_after(headers))

    def _completion(self, answer: Any) -> Completion:
        try:
            choice = answer["choices"][0]
            text = choice["message"]["content"] or ""
            usage = answer.get("usage") or {}
            return Completion(
                text if isinstance(text, str) else json.dumps(text),
                choice.get("finish_reason"),
                int(usage.get("prompt_tokens") or 0),
                int(usage.get("completion_tokens") or 0),
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise JudgeError(
                "malformed",
                f"{self} answered with no completion: {self._remark(json.dumps(answer))}",
                again=True,
            ) from None

    def _remark(self, said: Any) -> str:
        """What a server or a library said, short and without the key, which some servers repeat."""
        text = said.decode(errors="replace") if isinstance(said, bytes) else f"{type(said).__name__}: {said}"
        if isinstance(said, str):
            text = said
        key = self._headers.get("Authorization", "").removeprefix("Bearer ")
        if key:
            text = text.replace(key, "[key]")
        return " ".join(text.split())[:LONGEST_REMARK]


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that `Retry-After` asks for, as a number or a date; 0 without it."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    date = email.utils.parsedate_tz(value)
    return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else 0.0
