"""Checks before an evaluation that the tasks exist, and that policy and judge answer."""

from collections.abc import Mapping, Sequence

from rvpo_verl.errors import UserError

TASKS = (
    "healthbench",
    "healthbench_hard",
    "healthbench_consensus",
    "gpqa_diamond",
    "bfcl",
    "ifeval",
    "ifbench",
)
JUDGED = "healthbench"
TIMEOUT = 120
"""Seconds. A server may compile on its first request."""


def check(tasks: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str | None]:
    """The models of policy and judge; None if no judge is needed.

    Raises:
        UserError: an unknown task, or an endpoint that cannot be used.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks:
        raise UserError(f"TASKS: {unknown or 'no task'}; expected some of {' '.join(TASKS)}")
    judged = [task for task in tasks if task.startswith(JUDGED)]
    if judged and not environment.get("JUDGE_BASE_URL"):
        raise UserError(
            f"{', '.join(judged)}: JUDGE_BASE_URL is not set, and a language model judges every criterion. Expected "
            "an OpenAI-compatible endpoint, such as http://HOST:PORT/v1 of recipes/judge/serve_vllm.sh"
        )
    policy = served("POLICY", environment)
    return policy, served("JUDGE", environment) if judged else None


def served(role: str, environment: Mapping[str, str]) -> str:
    """The model of an endpoint, after one request to it succeeded.

    Args:
        role: POLICY or JUDGE; ROLE_MODEL may be missing if one model is served.

    Raises:
        UserError: no address, no server, a rejected key, another model, or no answer.
    """
    from openai import OpenAI, OpenAIError

    address, model = environment.get(f"{role}_BASE_URL"), environment.get(f"{role}_MODEL")
    if not address:
        raise UserError(
            f"{role}_BASE_URL is not set; expected an OpenAI-compatible endpoint, such as http://localhost:8000/v1"
        )
    key = environment.get(f"{role}_API_KEY") or "EMPTY"
    client = OpenAI(base_url=address, api_key=key, timeout=TIMEOUT, max_retries=0)
    try:
        models = [one.id for one in client.models.list()]
    except (OpenAIError, ValueError) as error:
        raise UserError(
            f"{role}_BASE_URL={address}: {_describe(error)} when asked for its models. Expected an OpenAI-compatible "
            f"server there (the address ends in /v1), and its key, if it wants one, in {role}_API_KEY"
        ) from None
    if not models:
        raise UserError(f"{role}_BASE_URL={address}: the server serves no model")
    if not model and len(models) > 1:
        raise UserError(
            f"{role}_BASE_URL={address} serves {', '.join(models)}: set {role}_MODEL to one of them"
        )
    if model and model not in models:
        raise UserError(f"{role}_MODEL={model}: {address} serves {', '.join(models)}")
    model = model or models[0]
    try:
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Say yes."}], max_completion_tokens=1
        )
    except OpenAIError as error:
        raise UserError(
            f"{role}_BASE_URL={address}: {_describe(error)} when asking {model} a question. Expected a chat model; a "
            "base model needs a chat template"
        ) from None
    return model


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error.__cause__ or error}"
