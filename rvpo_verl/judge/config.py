"""Settings of the judge, under `reward.rvpo.rewards.NAME.kwargs.judge`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from rvpo_verl.errors import ConfigError
from rvpo_verl.rubric import Criterion
from rvpo_verl.schema import Strict, parse

__all__ = ["CallLogConfig", "EndpointConfig", "JudgeConfig"]

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
            "a URL appears in logs; give the key as api_key_env, the name of an environment variable, and "
            "parameters as query"
        )
    return url.rstrip("/")


class EndpointConfig(Strict):
    """An OpenAI-compatible server, and the model to ask there."""

    base_url: Annotated[str, AfterValidator(_base_url)]
    """Up to and including `/v1`."""
    model: str | None = None
    """Name at the server; the only model that the server lists if left out."""
    api_key_env: str | None = None
    """Environment variable that contains the key, in every process that scores."""
    api_key_file: str | None = None
    """File that contains the key; read again when the server refuses it."""
    api_key_command: str | None = None
    """Command that prints a key; run again when the server refuses it. Not run in a shell."""
    key_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "Authorization"
    """Header that carries the key: as `Bearer KEY` in `Authorization`, alone in others, such as Azure's `api-key`."""
    headers: dict[str, str] = Field(default_factory=dict)
    """More headers. They appear in logs of the configuration, so that no key belongs there."""
    query: dict[str, str] = Field(default_factory=dict)
    """Parameters of each URL, such as `{api-version: "2024-10-21"}`."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Fields of the request that differ from the judge's; null leaves one out."""
    ca_file: str | None = None
    """PEM file with further authorities that are trusted."""
    client_certificate: str | None = None
    """PEM file with the certificate that this client shows."""
    client_key: str | None = None
    """PEM file with its key; that of `client_certificate` if left out."""
    proxy: bool = True
    """Whether `http_proxy`, `https_proxy` and `no_proxy` of the environment apply."""
    requests_per_minute: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Over all reward workers, where the provider's limit is known. Without it, the judge learns from HTTP 429."""
    tokens_per_minute: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Read and written, over all reward workers."""

    @model_validator(mode="after")
    def _one_key(self) -> "EndpointConfig":
        given = [name for name in ("api_key_env", "api_key_file", "api_key_command") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; expected at most one of them")
        _refuse_reserved(self.extra_body, "messages", "stream", "n", "response_format", "model")
        return self


class CallLogConfig(Strict):
    """A file of calls for people: what the judge was asked and what it wrote."""

    folder: str | None = None
    """Each reward worker writes `judge-calls-*.jsonl` there; nothing is written if left out."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Of the responses, each with all its calls."""
    max_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    """Of the file of one worker; the older half is dropped when it is full."""


class JudgeConfig(Strict):
    """Which model judges, how it is asked, and what happens when it does not answer."""

    endpoints: Annotated[list[EndpointConfig], Field(min_length=1)] | None = None
    """In order of preference: a later one is asked while an earlier one fails. If left out, the reward model that
    verl serves (`reward.reward_model.enable=True`)."""
    calls: Literal["criterion", "response"] = "criterion"
    """One call per criterion: independent verdicts. One call per response: cheaper, but verdicts correlate."""
    output: Literal["auto", "schema", "object", "json", "text"] = "auto"
    """How the form of verdicts is requested, `verdict.FORMS`; `auto`: the first that the server accepts."""
    explanations: bool = False
    """Whether the judge explains each verdict before it gives it; for the log of calls and verl's dumps."""
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
    """Calls in flight to each endpoint, over all of verl's reward workers, which lend it to each other."""
    timeout: Seconds = 60.0
    """Seconds of one call."""
    deadline: Seconds = 300.0
    """Seconds of all verdicts on one response including retries, counted from its first call."""
    attempts: Annotated[int, Field(ge=1)] = 4
    """Replies to one question that cannot be read, until it is given up. What a server may recover from (429, 5xx,
    a lost connection) is waited for until the deadline instead; with 1 nothing is asked twice."""
    backoff: Seconds = 1.0
    """Upper limit in seconds of the random pause after a failure, doubled for each later one up to 8 s. `Retry-After`
    is honored, by all calls to that endpoint."""
    log: CallLogConfig = Field(default_factory=CallLogConfig)
    """Which calls are written to files."""

    @model_validator(mode="after")
    def _votes_can_differ(self) -> "JudgeConfig":
        if self.votes > 1 and self.temperature == 0:
            raise ValueError(
                f"votes={self.votes} with temperature=0 would repeat the same verdict; set a temperature above 0"
            )
        _refuse_reserved(self.extra_body, "model", "messages", "stream", "n", "response_format")
        return self


def _refuse_reserved(extra_body: dict[str, Any], *names: str) -> None:
    reserved = sorted(set(names) & set(extra_body))
    if reserved:
        raise ValueError(f"extra_body names {reserved}, which the judge sets itself")


DEFAULT = "default"


def parse_judges(given: Any, path: str) -> dict[str, list[JudgeConfig]]:
    """Judges by the category that they judge, `default` for all others; each a panel, mostly of one.

    Args:
        given: a judge, a list of judges, or one of these for each of several categories.
        path: its configuration key.

    Raises:
        ConfigError: it is none of these, or a judge is not valid.
    """
    by_category = given if isinstance(given, Mapping) and DEFAULT in given else {DEFAULT: given}
    judges = {}
    for category, panel in by_category.items():
        of_category = path if by_category is not given else f"{path}.{category}"
        if not isinstance(panel, list):
            judges[category] = [parse(JudgeConfig, panel, of_category)]
            continue
        if not panel:
            raise ConfigError(f"{of_category}=[]: expected at least one judge")
        judges[category] = [
            parse(JudgeConfig, one, f"{of_category}.{number}") for number, one in enumerate(panel)
        ]
    return judges


def category_of(criterion: Criterion, categories: Mapping[str, Any]) -> str:
    """Whose judges a criterion goes to: those that it names, else those of its category, else the default."""
    for name in (criterion.judge, criterion.category):
        if name in categories:
            return name
    return DEFAULT
