"""Sampling on a CPU: what is drawn has the probabilities of the model's own forward, whatever shares a batch."""

from functools import partial

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, GenerationConfig, LlamaConfig, Qwen2Config

from rvpo_verl.cpu import attention
from rvpo_verl.cpu.sampling import inverse_cdf, sample

PAD, EOS, TOKENS = 0, 5, 12
PROMPTS = [[7, 8, 9], [7, 8, 9], [10], [11, 12, 13, 14, 15, 16], [7, 8, 9], [10], [17, 18], [17, 19]] * 3
SIZE = {
    "vocab_size": 20, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": PAD, "eos_token_id": EOS,
}  # fmt: skip


@pytest.fixture(scope="module", params=[LlamaConfig, Qwen2Config])
def models(request):
    """One with the attention for a CPU, and the same one as transformers runs it."""
    torch.manual_seed(0)
    config = request.param(**SIZE)
    reference = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    model = AutoModelForCausalLM.from_config(
        config, attn_implementation=attention.implementation(config)
    ).eval()
    assert model.config._attn_implementation == attention.NAME
    model.load_state_dict({name: 3 * value for name, value in reference.state_dict().items()})
    reference.load_state_dict(model.state_dict())
    return model, reference


@torch.no_grad()
def plain_logits(model, prompt, answer):
    """Of the answer's tokens, by one forward of the whole sequence."""
    return model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]


def by_number(draw_BT):
    return lambda log_prob_RV, ids_RL, row_R, t: inverse_cdf(log_prob_RV, draw_BT[row_R, t])


def greedy(log_prob_RV, ids_RL, row_R, t):
    return log_prob_RV.argmax(dim=-1)


sample = partial(sample, eos=EOS, pad=PAD)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_token_is_the_one_at_which_the_sum_of_the_probabilities_passes_its_number(models, temperature):
    model, reference = models
    draw_BT = torch.rand(len(PROMPTS), TOKENS, generator=torch.Generator().manual_seed(1))
    answers = sample(model, PROMPTS, TOKENS, by_number(draw_BT), temperature=temperature)
    assert 1 <= answers.length_B.min() < answers.length_B.max() == TOKENS  # some left the batch early
    for row, prompt in enumerate(PROMPTS):
        length = int(answers.length_B[row])
        answer = answers.ids_BT[row, :length]
        log_prob_TV = (plain_logits(reference, prompt, answer.tolist()) / temperature).log_softmax(-1)
        torch.testing.assert_close(
            answers.log_prob_BT[row, :length], log_prob_TV.gather(-1, answer[:, None])[:, 0],
            rtol=1e-4, atol=1e-5,
        )  # fmt: skip
        sums = torch.nn.functional.pad(log_prob_TV.exp().cumsum(-1), (1, 0))
        below, above = (sums.gather(-1, at[:, None])[:, 0] for at in (answer, answer + 1))
        assert (below - 1e-4 <= draw_BT[row, :length]).all()
        assert (draw_BT[row, :length] <= above + 1e-4).all()


def test_an_answer_ends_with_its_first_end_token_and_padding_follows(models):
    model, _ = models
    draw_BT = torch.rand(len(PROMPTS), TOKENS, generator=torch.Generator().manual_seed(1))
    answers = sample(model, PROMPTS, TOKENS, by_number(draw_BT))
    for ids, log_probs, length in zip(
        answers.ids_BT, answers.log_prob_BT, answers.length_B.tolist(), strict=True
    ):
        assert EOS not in ids[: length - 1] and (length == TOKENS or ids[length - 1] == EOS)
        assert (ids[length:] == PAD).all() and (log_probs[length:] == 0).all()


def test_an_answer_does_not_depend_on_what_shares_its_batch(models):
    model, _ = models
    draw_BT = torch.rand(len(PROMPTS), TOKENS, generator=torch.Generator().manual_seed(1))
    together = sample(model, PROMPTS, TOKENS, by_number(draw_BT))
    for row, prompt in enumerate(PROMPTS):
        alone = sample(model, [prompt], TOKENS, by_number(draw_BT[row : row + 1]))
        assert alone.ids_BT[0].tolist() == together.ids_BT[row].tolist()


def test_the_most_probable_tokens_are_those_of_generate(models):
    model, reference = models
    answers = sample(model, PROMPTS, TOKENS, greedy)
    settings = GenerationConfig(do_sample=False, max_new_tokens=TOKENS, eos_token_id=EOS, pad_token_id=PAD)
    for row, prompt in enumerate(PROMPTS):
        expected = reference.generate(torch.tensor([prompt]), settings)[0, len(prompt) :].tolist()
        assert answers.ids_BT[row, : len(expected)].tolist() == expected


def test_tokens_are_drawn_as_often_as_they_are_probable():
    log_prob_V = torch.tensor([0.1, 0.0, 0.6, 0.3]).log()
    draws = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    share_V = torch.bincount(inverse_cdf(log_prob_V.expand(20_000, 4), draws), minlength=4) / 20_000
    torch.testing.assert_close(share_V, log_prob_V.exp(), rtol=0.0, atol=0.015)
    assert share_V[1] == 0


def test_a_model_with_another_attention_keeps_its_own():
    assert attention.implementation(Gemma2Config()) is None
