"""What a user may write about the judge, under `reward.rvpo.rewards.NAME.kwargs.judge`."""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from rvpo_verl.schema import Strict

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected the URL of an OpenAI-compatible API, such as http://judge:8000/v1")
    if parts.username or parts.password or parts.query:
        raise ValueError(
            "a URL is shown in logs; give the key as api_key_env, the name of an environment variable"
        )
    return url.rstrip("/")


class EndpointConfig(Strict):
    """An OpenAI-compatible server, and the model to ask there."""

    base_url: Annotated[str, AfterValidator(_base_url)]
    """Up to and including `/v1`."""
    model: str | None = None
    """As the server calls it; the only one that it lists if left out."""
    api_key_env: str | None = None
    """Environment variable that holds the key, in every process that scores; no key if left out."""


class JudgeConfig(Strict):
    """Which model judges, how it is asked, and what happens when it does not answer."""

    endpoints: Annotated[list[EndpointConfig], Field(min_length=1)] | None = None
    """In order of preference: a later one is asked while an earlier one fails. The reward model that verl
    serves (`reward.reward_model.enable=True`) if left out."""
    calls: Literal["criterion", "response"] = "criterion"
    """One call for each criterion: independent verdicts. One for all of a response: cheaper, verdicts correlate."""
    output: Literal["auto", "schema", "text"] = "auto"
    """Whether verdicts are constrained by a JSON schema; `auto` asks for it and does without where it is refused."""
    votes: Annotated[int, Field(ge=1)] = 1
    """Times that each question is asked. The verdict is the mean of the votes, and their disagreement a metric."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 0.0
    """null leaves it to the server."""
    max_tokens: Annotated[int, Field(ge=1)] | None = 1024
    """Of a verdict, with whatever the model writes before it; null leaves it to the server."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More fields of the request, such as `{chat_template_kwargs: {enable_thinking: false}}`."""
    max_answer_chars: Annotated[int, Field(ge=100)] = 32_000
    """Longer answers lose their middle, and the judge is told so."""
    limit: Annotated[int, Field(ge=1)] = 256
    """Calls in flight, over all of verl's reward workers: each gets an equal share."""
    timeout: Seconds = 60.0
    """For one call."""
    deadline: Seconds = 300.0
    """For all verdicts on one response with their retries, from its first call on."""
    attempts: Annotated[int, Field(ge=1)] = 4
    """Calls for one verdict, at most."""
    backoff: Seconds = 1.0
    """Before the second attempt, on average half of it; doubled for each one after. `Retry-After` is honoured."""
    cache: Path | None = None
    """Folder in which verdicts are kept, on a local disk of each node; none if left out."""

    @model_validator(mode="after")
    def _votes_can_differ(self) -> "JudgeConfig":
        if self.votes > 1 and self.temperature == 0:
            raise ValueError(
                f"votes={self.votes} with temperature=0 asks the same question for the same answer; set a temperature"
            )
        taken = sorted({"model", "messages", "stream", "n", "response_format"} & set(self.extra_body))
        if taken:
            raise ValueError(f"extra_body names {taken}, which the judge sets itself")
        return self

    def share(self, reward_workers: int) -> int:
        """Calls that each of several processes may have in flight.

        Raises:
            ValueError: there are more processes than calls.
        """
        if self.limit < reward_workers:
            raise ValueError(
                f"limit={self.limit} calls in flight for reward.num_workers={reward_workers} processes: each needs "
                f"at least one. Raise the limit, or lower reward.num_workers to {self.limit} or less"
            )
        return self.limit // reward_workers
