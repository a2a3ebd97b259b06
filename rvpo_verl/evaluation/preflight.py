"""Before the first sample: are the tasks known, and do policy and judge answer?

    python -m rvpo_verl.evaluation.preflight TASK...

Reads POLICY_BASE_URL, POLICY_API_KEY, POLICY_MODEL and the same of JUDGE, and prints the model that each serves, a
line each. The judge's line is empty where no task needs one.
"""

import os
import sys
from collections.abc import Mapping, Sequence

TASKS = ("healthbench", "healthbench_hard", "healthbench_consensus", "gpqa_diamond", "bfcl")
JUDGED = "healthbench"
TIMEOUT = 120
"""Seconds; a server that compiles on its first request takes that long."""


def check(tasks: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str | None]:
    """The models of policy and judge, None where none is needed.

    Raises:
        ValueError: an unknown task, or an endpoint that cannot be used.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown or not tasks:
        raise ValueError(
            f"TASKS={' '.join(tasks)!r}: {unknown or 'no task'}; expected some of {' '.join(TASKS)}"
        )
    judged = [task for task in tasks if task.startswith(JUDGED)]
    if judged and not environment.get("JUDGE_BASE_URL"):
        raise ValueError(
            f"{', '.join(judged)}: JUDGE_BASE_URL is not set, and a language model judges every criterion. Expected "
            "an OpenAI-compatible endpoint, such as http://HOST:PORT/v1 of recipes/judge/serve_vllm.sh"
        )
    policy = served("POLICY", environment)
    return policy, served("JUDGE", environment) if judged else None


def served(role: str, environment: Mapping[str, str]) -> str:
    """The model of an endpoint, after it has answered once.

    Args:
        role: POLICY or JUDGE; NAME_MODEL may be missing if one model is served.

    Raises:
        ValueError: no address, nothing there, a key that is not accepted, another model, or no answer.
    """
    from openai import OpenAI, OpenAIError

    address, model = environment.get(f"{role}_BASE_URL"), environment.get(f"{role}_MODEL")
    if not address:
        raise ValueError(
            f"{role}_BASE_URL is not set; expected an OpenAI-compatible endpoint, such as http://localhost:8000/v1"
        )
    key = environment.get(f"{role}_API_KEY") or "EMPTY"
    client = OpenAI(base_url=address, api_key=key, timeout=TIMEOUT, max_retries=0)
    try:
        models = [one.id for one in client.models.list()]
    except (OpenAIError, ValueError) as error:
        raise ValueError(
            f"{role}_BASE_URL={address}: {_what(error)} when asked for its models. Expected an OpenAI-compatible "
            f"server there (the address ends in /v1), and its key, if it wants one, in {role}_API_KEY"
        ) from None
    if not models:
        raise ValueError(f"{role}_BASE_URL={address}: the server is there, but serves no model")
    if not model and len(models) > 1:
        raise ValueError(
            f"{role}_BASE_URL={address} serves {', '.join(models)}: set {role}_MODEL to one of them"
        )
    if model and model not in models:
        raise ValueError(f"{role}_MODEL={model}: {address} serves {', '.join(models)}")
    model = model or models[0]
    question = [{"role": "user", "content": "Say yes."}]
    try:
        client.chat.completions.create(model=model, messages=question, max_completion_tokens=1)
    except OpenAIError as error:
        raise ValueError(
            f"{role}_BASE_URL={address}: {_what(error)} when {model} was asked a question. Expected a chat model; a "
            "base model needs a chat template"
        ) from None
    return model


def _what(error: Exception) -> str:
    return f"{type(error).__name__}: {error.__cause__ or error}"


def main() -> None:
    try:
        models = check(sys.argv[1:], os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(*(model or "" for model in models), sep="\n")


if __name__ == "__main__":
    main()
