"""A row as the model sees it, and what a good and an empty answer to it would score."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from rvpo_verl import files
from rvpo_verl.data.rows import Row
from rvpo_verl.errors import UserError
from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format
from rvpo_verl.rubric import names, read_rubric

Kind = Literal["rubric", "rlla", "instructions"]
_PARTS = ("<think>", "<tool_call>", "<response>")
GOOD, EMPTY = "a good answer", "an empty answer"


def kind_of(row: Any) -> Kind:
    """By what the row asks; rubric if that cannot be seen."""
    info = row.get("extra_info") if isinstance(row, Mapping) else None
    info = info if isinstance(info, Mapping) else {}
    if "instruction_id_list" in info:
        return "instructions"
    reward_model = row.get("reward_model") if isinstance(row, Mapping) else None
    truth = reward_model.get("ground_truth") if isinstance(reward_model, Mapping) else None
    if "rubric" not in info and isinstance(truth, str) and any(part in truth for part in _PARTS):
        return "rlla"
    return "rubric"


def kind_of_file(path: Path) -> Kind:
    return next((kind_of(row) for _, row in files.read_rows(path)), "rubric")


def previews(row: Row, kind: Kind, model: str | None = None) -> dict[str, Any]:
    """`prompt`, with `tokens` by a model's tokenizer, and `answers`: what each scores, by reward.

    Raises:
        UserError: the tokenizer cannot be loaded, or the row has no readable rubric.
    """
    answers = {"rubric": _rubric, "rlla": _rlla, "instructions": _instructions}[kind](row)
    return {"kind": kind, **_prompt(row, model), "answers": answers}


def _prompt(row: Row, model: str | None) -> dict[str, Any]:
    if model is None:
        text = "\n".join(f"{message['role']}: {message['content']}" for message in row["prompt"])
        return {"prompt": text, "tokens": None}
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        messages = [{name: each[name] for name in ("role", "content")} for each in row["prompt"]]
        rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        text = cast(str, rendered)  # not tokenized
    except (OSError, ValueError) as error:
        raise UserError(f"--model {model}: its tokenizer or chat template cannot be used: {error}") from None
    return {"prompt": text, "tokens": len(tokenizer(text, add_special_tokens=False)["input_ids"])}


def _rubric(row: Row) -> dict[str, dict[str, float | None]]:
    """A good answer makes true what is good, an empty one makes nothing true."""
    criteria = read_rubric(row["extra_info"])
    total = sum(one.weight for one in criteria)

    def scored(rewards: list[float]) -> dict[str, float | None]:
        by_name = dict(zip(names(criteria), rewards, strict=True))
        weighted = sum(one.weight * reward for one, reward in zip(criteria, rewards, strict=True))
        return {**by_name, "mean by weight": weighted / total if total else None}

    return {
        GOOD: scored([1.0] * len(criteria)),
        EMPTY: scored([one.reward(0.0) for one in criteria]),
    }


def _rlla(row: Row) -> dict[str, dict[str, float | None]]:
    truth = row["reward_model"]["ground_truth"]
    return {
        name: {reward.__name__: reward(answer, truth) for reward in (tool_call_format, tool_call_correctness)}
        for name, answer in ((GOOD, truth), (EMPTY, ""))
    }


def _instructions(row: Row) -> dict[str, dict[str, float | None]]:
    """A good answer meets every constraint; none can be made up here."""
    from rvpo_verl.rewards.instructions import instructions

    empty = {name: score.value for name, score in instructions("", row["extra_info"]).items()}
    return {GOOD: dict.fromkeys(empty, 1.0), EMPTY: empty}
