import dataclasses
import random

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Tokenizer

from rvpo_verl.cpu import policy, tasks
from rvpo_verl.cpu.policy import WarmUp
from rvpo_verl.cpu.tasks import Flaws
from rvpo_verl.data.rlla import ground_truth

ROWS = tasks.generate(600, 0, "train")
QUICK = WarmUp(merges=300, hidden_size=32, intermediate_size=64, clean_steps=35, flawed_steps=5, batch_size=8)


def texts(rows):
    return [message["content"] for row in rows for message in row["prompt"]] + [
        ground_truth(row) for row in rows
    ]


@pytest.fixture(scope="module")
def tokenizer():
    return policy.build_tokenizer(texts(ROWS), 500)


@pytest.fixture(scope="module")
def warmed_up(tmp_path_factory):
    """The folder of a policy, its cache, and the losses of its warm-up."""
    cache, losses = tmp_path_factory.mktemp("cache"), []
    folder = policy.warmed_up_policy(
        ROWS, QUICK, cache=cache, progress=lambda step, steps, loss: losses.append((step, steps, loss))
    )
    return folder, cache, losses


def test_every_answer_and_every_flaw_comes_back_from_the_tokenizer(tokenizer):
    rng, flaws = random.Random(0), Flaws(ROWS)
    for row in ROWS[:200] + tasks.generate(100, 0, "held_out"):
        for answer in (ground_truth(row), flaws.demonstration(row, rng)):
            assert tokenizer.decode(tokenizer.encode(answer)) == answer


def test_tokenizer_knows_any_text_and_newline_is_one_token(tokenizer):
    for text in ("日本語 ß \x00 🙂", "\n", "a\n\nb"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode("\n")) == 1


def test_chat_template_ends_where_the_answer_begins(tokenizer):
    row = ROWS[0]
    system, user = (message["content"] for message in row["prompt"])
    assert tokenizer.decode(policy.prompt_ids(tokenizer, row)) == (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert policy.answer_ids(tokenizer, "x")[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_generated_rows_fit_the_default_limits(tokenizer):
    assert policy.fitting(tokenizer, ROWS, WarmUp()) == ROWS


def test_rows_that_are_too_long_are_not_among_the_fitting(tokenizer):
    lengths = [len(policy.prompt_ids(tokenizer, row)) for row in ROWS]
    limit = sorted(lengths)[len(ROWS) // 2]
    kept = policy.fitting(tokenizer, ROWS, WarmUp(max_prompt_tokens=limit))
    assert kept == [row for row, length in zip(ROWS, lengths, strict=True) if length <= limit]
    assert policy.fitting(tokenizer, ROWS, WarmUp(max_answer_tokens=5)) == []


def test_loss_counts_prompts_with_their_weight_and_padding_not_at_all(tokenizer):
    torch.manual_seed(0)
    model = policy.build_model(tokenizer, QUICK).eval()
    short, long = ([5, 6, 7], [8, 9]), ([5, 6, 7, 10, 11], [8, 9, 12, 13])
    alone = [policy._loss(model, [one], 0.0).item() for one in (short, long)]
    together = policy._loss(model, [short, long], 0.0).item()
    assert together == pytest.approx((2 * alone[0] + 4 * alone[1]) / 6, rel=1e-4)
    assert policy._loss(model, [short], 1.0).item() != pytest.approx(alone[0], rel=1e-4)


def test_warm_up_lowers_the_loss_and_reports_every_step(warmed_up):
    _, _, reported = warmed_up
    assert [(step, steps) for step, steps, _ in reported] == [(step, 40) for step in range(1, 41)]
    assert reported[34][2] < 0.8 * reported[0][2]


def test_folder_is_what_transformers_loads(warmed_up):
    folder, _, _ = warmed_up
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert isinstance(tokenizer, Qwen2Tokenizer)
    assert model.config.model_type == "qwen2"
    assert model.config.eos_token_id == tokenizer.eos_token_id
    answer = ground_truth(ROWS[0])
    assert tokenizer.decode(tokenizer.encode(answer)) == answer
    assert policy.prompt_ids(tokenizer, ROWS[0])


def test_cached_policy_is_not_trained_again(warmed_up, monkeypatch):
    folder, cache, _ = warmed_up

    def never(*args, **kwargs):
        raise RuntimeError("trained again")

    monkeypatch.setattr(policy, "warm_up", never)
    assert policy.warmed_up_policy(ROWS, QUICK, cache=cache) == folder
    with pytest.raises(RuntimeError, match="trained again"):
        policy.warmed_up_policy(ROWS, dataclasses.replace(QUICK, seed=1), cache=cache)
    # The interrupted one left nothing behind that looks finished, or unfinished.
    assert list(cache.iterdir()) == [folder]


def test_cache_key_changes_with_every_setting_and_with_the_rows():
    keys = {policy.cache_key(ROWS, QUICK), policy.cache_key(ROWS[1:], QUICK)}
    fields = dataclasses.fields(QUICK)
    keys |= {
        policy.cache_key(
            ROWS, dataclasses.replace(QUICK, **{field.name: (getattr(QUICK, field.name) or 0) + 1})
        )
        for field in fields
    }
    assert len(keys) == 2 + len(fields)


def test_the_same_seed_gives_the_same_policy(warmed_up, tmp_path):
    folder, _, _ = warmed_up
    again = policy.warmed_up_policy(ROWS, QUICK, cache=tmp_path)
    weights = [AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (folder, again)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=1e-3, atol=1e-4)


def test_warm_up_ends_when_its_time_is_over(tokenizer):
    model = policy.build_model(tokenizer, QUICK)
    hurried = dataclasses.replace(QUICK, clean_steps=10_000, flawed_steps=10_000, seconds=1.0)
    losses = policy.warm_up(model, tokenizer, ROWS, hurried)
    assert 1 <= len(losses) < 10_000


def test_every_fourth_step_sees_whole_prompts_and_the_others_their_tails(tokenizer, monkeypatch):
    seen, loss = [], policy._loss
    monkeypatch.setattr(
        policy,
        "_loss",
        lambda model, demonstrations, weight: (
            seen.append([len(prompt) for prompt, _ in demonstrations]) or loss(model, demonstrations, weight)
        ),
    )
    settings = dataclasses.replace(QUICK, clean_steps=3, flawed_steps=1, batch_size=2, prompt_tail=5)
    policy.warm_up(policy.build_model(tokenizer, settings), tokenizer, ROWS, settings)
    assert seen[:3] == [[5, 5]] * 3
    assert min(seen[3]) > 60


def test_no_row_that_fits_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="none of the 600 rows fits"):
        policy.warmed_up_policy(ROWS, dataclasses.replace(QUICK, max_prompt_tokens=3), cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
