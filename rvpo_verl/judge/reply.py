"""What a server's response says: a finished completion, or why it is none."""

import email.utils
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from rvpo_verl.judge.failure import JudgeError

LONGEST_WAIT_SECONDS = 3600.0
NOT_BEFORE_IT_IS_PAID = ("insufficient_quota", "billing_hard_limit_reached", "credit_balance")
"""Codes with which providers answer HTTP 429, though waiting changes nothing."""


@dataclass(frozen=True)
class Completion:
    text: str
    tokens_in: int
    tokens_out: int
    seconds: float = 0.0
    """From the request to the last byte of the response."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    content: bytes


class Reader:
    """Reads the responses of one endpoint, whose name and excerpts appear in the messages."""

    def __init__(self, name: Callable[[], str], url: str, excerpt: Callable[[str | bytes], str]):
        """
        Args:
            name: of the endpoint; its model may be known later.
            url: that redirects are relative to.
            excerpt: shortens what a server wrote and removes keys from it.
        """
        self._name, self._url, self._excerpt = name, url, excerpt

    def json(self, response: Response) -> Any:
        """
        Raises:
            JudgeError: the status is not 200, or the content is no JSON.
        """
        if response.status != 200:
            raise self._http_error(response)
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError):
            excerpt = self._excerpt(response.content)
            raise JudgeError("malformed", f"{self._name()} answered with no JSON: {excerpt}") from None

    def completion(self, answer: Any) -> Completion:
        """
        Raises:
            JudgeError: it is an error inside of HTTP 200, unfinished, refused, or no completion at all.
        """
        name = self._name()
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
            error = choice.get("error")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            excerpt = self._excerpt(json.dumps(answer))
            raise JudgeError("malformed", f"{name} answered with no completion: {excerpt}") from None
        if error:  # OpenRouter, where a provider fails after it began
            raise self._error_in_answer(error)
        wrong = {
            "length": ("truncated", f"was cut off at max_tokens after {tokens[1]} tokens"),
            "content_filter": ("content_filter", "ended the answer by its content filter"),
            "error": ("server_error", "answered with finish_reason error"),
        }
        if refusal:
            kind, what = "refusal", f"refused to answer: {self._excerpt(str(refusal))}"
        elif finish_reason in wrong:
            kind, what = wrong[finish_reason]
        else:
            return Completion(text, *tokens)
        raise JudgeError(kind, f"{name} {what}", retryable=kind == "server_error", reply=text, tokens=tokens)

    def _error_in_answer(self, error: Any) -> JudgeError:
        code = error.get("code") if isinstance(error, dict) else None
        status = int(str(code)) if str(code).isdigit() else 500
        detail = json.dumps(error)
        message = f"{self._name()} answered with an error inside of HTTP 200: {self._excerpt(detail)}"
        return _error(message, status, detail)

    def _http_error(self, response: Response) -> JudgeError:
        detail = self._excerpt(response.content)
        if 300 <= response.status < 400 and "Location" in response.headers:
            target = urlsplit(urljoin(self._url, response.headers["Location"]))
            # Without user and query, which may contain a key.
            target = target._replace(netloc=target.netloc.rpartition("@")[2], query="", fragment="")
            detail = (
                f"a redirect to {self._excerpt(target.geturl())}, which is not followed; correct base_url"
            )
        message = f"{self._name()} answered with HTTP {response.status}: {detail}"
        content = response.content.decode(errors="replace")
        return _error(message, response.status, content, retry_after(response.headers))


def _error(message: str, status: int, content: str, retry_after: float = 0.0) -> JudgeError:
    unpaid = status == 429 and any(code in content for code in NOT_BEFORE_IT_IS_PAID)
    kind = "server_error" if status >= 500 else "rejected"
    if status == 429 and not unpaid:
        kind = "rate_limited"
    retryable = (status in (408, 409, 425, 429) or status >= 500) and not unpaid
    return JudgeError(kind, message, retryable=retryable, status=status, retry_after=retry_after)


def _text(content: Any) -> str:
    """The text of a message, which may be a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the header `Retry-After` asks for, as a number or a date; 0 without it."""
    value = headers.get("Retry-After", "")
    try:
        return min(LONGEST_WAIT_SECONDS, max(0.0, float(value)))
    except ValueError:
        pass
    date = email.utils.parsedate_tz(value)
    seconds = email.utils.mktime_tz(date) - time.time() if date else 0.0
    return min(LONGEST_WAIT_SECONDS, max(0.0, seconds))
