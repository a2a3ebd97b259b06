"""Settings of the judge, under `reward.rvpo.rewards.NAME.kwargs.judge`."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from rvpo_verl.errors import ConfigError
from rvpo_verl.schema import Strict

NO_ENDPOINTS = (
    "endpoints=null, but verl serves no reward model: set judge.endpoints=[{base_url: http://HOST:PORT/v1, model: "
    "NAME}], or reward.reward_model.enable=True with its model"
)
"""Message where there is no judge."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected the URL of an OpenAI-compatible API, such as http://judge:8000/v1")
    if parts.username or parts.password or parts.query:
        raise ValueError(
            "a URL appears in logs; give the key as api_key_env, the name of an environment variable"
        )
    return url.rstrip("/")


class EndpointConfig(Strict):
    """An OpenAI-compatible server, and the model to ask there."""

    base_url: Annotated[str, AfterValidator(_base_url)]
    """Up to and including `/v1`."""
    model: str | None = None
    """Name at the server; the only model that the server lists if left out."""
    api_key_env: str | None = None
    """Environment variable that contains the key, in every process that scores; no key if left out."""


class JudgeConfig(Strict):
    """Which model judges, how it is asked, and what happens when it does not answer."""

    endpoints: Annotated[list[EndpointConfig], Field(min_length=1)] | None = None
    """In order of preference: a later one is asked while an earlier one fails. If left out, the reward model that
    verl serves (`reward.reward_model.enable=True`)."""
    calls: Literal["criterion", "response"] = "criterion"
    """One call per criterion: independent verdicts. One call per response: cheaper, but verdicts correlate."""
    output: Literal["auto", "schema", "text"] = "auto"
    """Whether a JSON schema constrains the verdicts; `auto` uses one unless the server refuses it."""
    votes: Annotated[int, Field(ge=1)] = 1
    """How often each question is asked. The verdict is the mean of the votes; their disagreement is a metric."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 0.0
    """null: the default of the server."""
    max_tokens: Annotated[int, Field(ge=1)] | None = 1024
    """Of one completion, including text before the verdict; null: the default of the server."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More fields of the request, such as `{chat_template_kwargs: {enable_thinking: false}}`."""
    max_answer_chars: Annotated[int, Field(ge=100)] = 32_000
    """The middle of longer responses is left out, with a note to the judge."""
    limit: Annotated[int, Field(ge=1)] = 256
    """Calls in flight over all of verl's reward workers; each worker gets an equal share."""
    timeout: Seconds = 60.0
    """Of one call."""
    deadline: Seconds = 300.0
    """Of all verdicts on one response including retries, counted from its first call."""
    attempts: Annotated[int, Field(ge=1)] = 4
    """Replies to one question that cannot be read, until it is given up. What a server may recover from (429, 5xx,
    a lost connection) is waited for until the deadline instead; with 1 nothing is asked twice."""
    backoff: Seconds = 1.0
    """Upper limit of the random pause after such a failure, doubled for each later one up to 8 s. `Retry-After` is
    honored, by all calls to that endpoint."""

    @model_validator(mode="after")
    def _votes_can_differ(self) -> "JudgeConfig":
        if self.votes > 1 and self.temperature == 0:
            raise ValueError(
                f"votes={self.votes} with temperature=0 would repeat the same verdict; set a temperature above 0"
            )
        reserved = sorted({"model", "messages", "stream", "n", "response_format"} & set(self.extra_body))
        if reserved:
            raise ValueError(f"extra_body names {reserved}, which the judge sets itself")
        return self

    def share(self, reward_workers: int) -> int:
        """Calls in flight per process.

        Raises:
            ConfigError: there are more processes than calls.
        """
        if self.limit < reward_workers:
            raise ConfigError(
                f"limit={self.limit} calls in flight for reward.num_workers={reward_workers} processes: each needs "
                f"at least one. Raise the limit, or lower reward.num_workers to {self.limit} or less"
            )
        return self.limit // reward_workers
