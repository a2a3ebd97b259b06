"""The experiment with a pretrained model: runs can be stopped anywhere, and the report says what is missing."""

import json
from dataclasses import replace

import pytest
import torch

pytest.importorskip("if_verifiable")

from real_model import grid, prompts, replay, report
from real_model.methods import METHODS, advantages
from real_model.policy import Policy
from real_model.replay import _tokens
from real_model.results import File, Run, read_runs
from real_model.training import Size, as_matrix, fluency, train

from rvpo_verl.cpu.policy import WarmUp
from rvpo_verl.data.instruction_tasks import TASKS
from tests.support.nltk_data import needs_nltk_data
from tests.support.random_policy import save_random_policy

pytestmark = needs_nltk_data
SIZE = Size(
    prompts=2, group=4, tokens=6, evaluate_every=2, evaluated_prompts=3, evaluated_at_the_end=5, answers_each=2,
    benchmark_tokens=6, saved_every=2,
)  # fmt: skip
RUN = Run("k2", 1, 1e-2, 4)
TIMES = ("sampling_s", "step_s")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    rows = [{"prompt": [{"role": "user", "content": task}]} for task in TASKS]
    save_random_policy(folder, rows, WarmUp(seed=0))
    return folder


def policy_of(model, run=RUN, **more):
    return Policy(model, run.learning_rate, trained_layers=1, dtype=torch.float32, **more)


def make(model, folder, run=RUN, *, calls=None):
    """Trains until finished; `calls`: steps after which a fresh process goes on."""
    file = File(folder / "results", run)
    for steps in calls or (run.steps,):
        left = iter([True] * steps + [False])
        train(run, policy_of(model, run), file, folder / "run.pt", SIZE, go_on=lambda left=left: next(left))
    return file


def without_times(records):
    return [{name: value for name, value in each.items() if name not in TIMES} for each in records]


def test_a_run_that_is_stopped_goes_on_as_if_it_had_not_been(model, tmp_path):
    whole = make(model, tmp_path / "whole")
    parts = make(model, tmp_path / "parts", calls=(1, 2, 1))
    assert whole.finished() and parts.finished()
    assert len(whole.steps()) == 4 and [each["step"] for each in whole.evaluations()] == [2, 4]
    assert without_times(parts.steps()) == without_times(whole.steps())
    assert parts.evaluations() == whole.evaluations()


def test_without_a_checkpoint_the_recorded_steps_are_made_again_from_their_tokens(model, tmp_path):
    whole = make(model, tmp_path / "whole")
    first = make(model, tmp_path / "there", calls=(3,))
    assert not first.finished() and first.tokens_path.exists()
    (tmp_path / "there" / "run.pt").unlink()
    second = make(model, tmp_path / "there", calls=(4,))
    assert without_times(second.steps()) == without_times(whole.steps())
    assert second.evaluations() == whole.evaluations()
    assert not second.tokens_path.exists()  # only unfinished runs keep them


def test_a_line_that_was_cut_off_is_made_again(model, tmp_path):
    file = make(model, tmp_path, calls=(2,))
    text = file.path.read_text()
    file.path.write_text(text[:-20])
    (tmp_path / "run.pt").unlink()
    again = make(model, tmp_path, calls=(4,))
    assert [each["step"] for each in again.steps()] == [1, 2, 3, 4]
    assert [json.loads(line) for line in again.path.read_text().splitlines()]


def test_the_checkpoint_of_another_run_is_not_used(model, tmp_path):
    make(model, tmp_path)
    other = replace(RUN, method="gdpo")
    alone = make(model, tmp_path / "alone", other)
    assert without_times(make(model, tmp_path, other).steps()) == without_times(alone.steps())


def test_a_run_does_not_go_on_with_prompts_that_are_drawn_differently_now(model, tmp_path, monkeypatch):
    make(model, tmp_path, calls=(2,))
    monkeypatch.setattr(prompts, "TRAIN", replace(prompts.TRAIN, words=30))
    with pytest.raises(RuntimeError, match="step 1: its prompts"):
        make(model, tmp_path)


def plain_logits(policy, prompt, answer):
    """Of the tokens of one answer, by the model's own forward of one sequence."""
    ids = torch.cat([prompt, answer])[None]
    return policy.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()


def sampled_to_an_end(policy, each, seed):
    """Answers of different length: a token of a random policy's answers is taken for the one that ends them."""
    answer_NT = policy.sample(TEXTS, each, 9, seed).answer_NT
    policy.eos = int(answer_NT[:, 2:6].flatten().mode().values)
    sampled = policy.sample(TEXTS, each, 9, seed)
    assert sampled.length_N.min() < 7 and sampled.length_N.max() == 9
    return sampled


TEXTS = ["Describe tea.", "Write a line about a long walk by the sea in winter."]


def test_answers_that_share_their_prompt_have_the_probabilities_that_each_has_alone(model):
    policy, reference = policy_of(model), policy_of(model)
    reference.model.set_attn_implementation("sdpa")
    sampled = sampled_to_an_end(policy, 3, 0)
    answers = [answer[mask] for answer, mask in zip(sampled.answer_NT, sampled.mask_NT, strict=True)]
    for number, prompt in enumerate(sampled.prompts):
        of_prompt = answers[3 * number : 3 * number + 3]
        alone = [
            plain_logits(reference, prompt, answer).log_softmax(-1).gather(-1, answer[:, None])[:, 0]
            for answer in of_prompt
        ]
        torch.testing.assert_close(policy.log_prob(prompt, of_prompt), torch.cat(alone), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_without_a_seed_each_token_is_the_most_probable(model):
    policy, reference = policy_of(model), policy_of(model)
    reference.model.set_attn_implementation("sdpa")
    sampled = policy.sample(TEXTS, 1, 9, seed=None)
    for prompt, answer, mask in zip(sampled.prompts, sampled.answer_NT, sampled.mask_NT, strict=True):
        assert (plain_logits(reference, prompt, answer[mask]).argmax(-1) == answer[mask]).all()


def test_an_update_is_the_gradient_of_the_mean_over_the_tokens(model):
    policy, reference = policy_of(model), policy_of(model)
    reference.model.set_attn_implementation("sdpa")
    sampled = sampled_to_an_end(policy, 3, 1)
    advantage_N = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, -1.0])
    loss = 0.0
    for number, (answer, mask) in enumerate(zip(sampled.answer_NT, sampled.mask_NT, strict=True)):
        logits = plain_logits(reference, sampled.prompts[number // 3], answer[mask])
        log_prob = logits.log_softmax(-1).gather(-1, answer[mask][:, None])
        loss = loss - advantage_N[number] * log_prob.sum() / sampled.mask_NT.sum()
    loss.backward()
    expected = torch.nn.utils.get_total_norm([each.grad for each in reference.parameters])
    assert policy.update(sampled, advantage_N) == pytest.approx(float(expected), rel=1e-4)


@torch.no_grad()
def test_training_raises_the_probability_of_what_is_rewarded(model):
    policy = policy_of(model)
    sampled = policy.sample(["Describe tea."], 8, 6, seed=0)
    advantage_N = torch.where(torch.arange(8) < 4, 1.0, -1.0)

    def log_prob():
        answers = [answer[mask] for answer, mask in zip(sampled.answer_NT, sampled.mask_NT, strict=True)]
        each = policy.log_prob(sampled.prompts[0], answers)
        return torch.stack([part.sum() for part in each.split(sampled.length_N.tolist())])

    before = log_prob()
    with torch.enable_grad():
        for _ in range(3):
            assert policy.update(sampled, advantage_N) > 0
    assert ((log_prob() - before) * advantage_N).sum() > 0


def test_fluency_is_the_mean_log_probability_of_each_answer_for_the_untrained_policy(model):
    untrained = policy_of(model)
    sampled = sampled_to_an_end(policy_of(model), 3, 2)
    values = fluency(untrained, sampled)
    for number, (answer, mask) in enumerate(zip(sampled.answer_NT, sampled.mask_NT, strict=True)):
        log_prob_TV = plain_logits(untrained, sampled.prompts[number // 3], answer[mask]).log_softmax(-1)
        expected = log_prob_TV.gather(-1, answer[mask][:, None]).mean()
        torch.testing.assert_close(values[number], expected, rtol=1e-4, atol=1e-5)


def test_fluency_is_a_reward_beside_the_constraints(model, tmp_path):
    run = replace(RUN, method="k2_fluent", steps=1)
    file = File(tmp_path, run)
    with pytest.raises(ValueError, match="needs the untrained policy"):
        train(run, policy_of(model, run), file, tmp_path / "run.pt", SIZE)
    policy, file = policy_of(model, run, untrained=policy_of(model)), File(tmp_path / "with", run)
    assert train(run, policy, file, tmp_path / "run.pt", SIZE)
    (step,) = file.steps()
    assert step["constant_groups"] == 0  # it differs between answers that meet the same constraints


def test_a_run_of_the_launcher_is_made_again_from_what_it_recorded(model, tmp_path):
    asked = {"Describe tea.": 2, "Describe a fox.": 3}  # number of constraints
    policy, again = policy_of(model), policy_of(model)
    sampled = policy.sample(list(asked), 4, 9, seed=0)
    texts = policy.texts(sampled)
    answers = [_tokens(policy, text, 9) for text in texts]
    scores = [[float((row + part) % 2) for part in range(3 if row >= 4 else 2)] for row in range(8)]
    padded_NT = torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=policy.pad)
    found_again = policy.sampled(list(asked), padded_NT)
    group_B = torch.arange(8) // 4
    advantage_B = advantages(
        METHODS["k2"], as_matrix(scores), group_B, found_again.length_N, 1, 1
    ).advantages_B
    norm = policy.update(found_again, advantage_B)
    lines = [
        {
            "input": f"system\nBe brief.\nuser\n{list(asked)[row // 4]}\nassistant\n", "output": texts[row], "step": 1,
            "rvpo_rewards": json.dumps({"scores": {str(part): value for part, value in enumerate(scores[row])}}),
            "rvpo_trained": float(advantage_B[row]),
        }
        for row in (4, 0, 5, 1, 6, 2, 7, 3)  # not group by group
    ]  # fmt: skip
    (tmp_path / "rollouts").mkdir()
    (tmp_path / "rollouts" / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "data": {"actor/grad_norm": norm}}) + "\n")
    (step,) = replay.replay(again, tmp_path, "k2", 9)
    assert step.gradient_norm == pytest.approx(norm, rel=1e-4) and step.advantage_difference < 1e-5
    replay.write([step], tmp_path / replay.FILE)
    text = report.write(tmp_path, tmp_path).read_text()
    assert "median 1.000, from 1.000 to 1.000" in text


def test_methods_with_the_same_seed_see_the_same_prompts_and_none_of_the_held_out_tasks():
    batch = [prompts.batch(1, step, 6) for step in range(1, 20)]
    assert batch == [prompts.batch(1, step, 6) for step in range(1, 20)]
    assert batch[0] != prompts.batch(2, 1, 6)
    trained = {row["task"] for rows in batch for row in rows}
    chosen = {row["task"] for row in prompts.evaluation("validation", 40)}
    held_out = {row["task"] for row in prompts.evaluation("held_out", 40)}
    assert trained.isdisjoint(chosen | held_out) and chosen.isdisjoint(held_out)


def test_grpo_learns_from_the_number_of_met_constraints_alone():
    group_B, length_B = torch.zeros(4).long(), torch.ones(4)
    scores = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    result = advantages(METHODS["grpo"], as_matrix(scores), group_B, length_B, 1, 100)
    ones = torch.tensor([-0.5, -0.5, 1.5, -0.5], dtype=torch.float64)
    torch.testing.assert_close(result.advantages_B, ones, rtol=1e-5, atol=1e-5)
    softmin = advantages(METHODS["k2"], as_matrix(scores), group_B, length_B, 1, 100)
    assert softmin.advantages_B[0] != softmin.advantages_B[3]


def recorded(folder, run, met):
    file = File(folder, run)
    for step in range(1, run.steps + 1):
        file.add(
            {
                "step": step, "gradient_norm": 0.5, "aggregate_std": 0.9, "constant_groups": 0.1,
                "largest_advantage": 2.0, "constraints": 0.4,
            }
        )  # fmt: skip
    rows = prompts.evaluation("held_out", 24)
    for step, of in ((run.steps // 2, "0"), (run.steps, met)) if run.steps else ((0, met),):
        answers = [of * len(row["kwargs"]) for row in rows for _ in range(4)]
        text = "Rome, a fox, recycling, oranges, an interview, a bicycle." if of == "1" else "None."
        benchmark = {"keys": [1, 2], "met": [of, of * 2], "answers": ["", ""]}
        file.add(
            {
                "step": step, "met": answers, "answers_each": 4, "tokens": 50.0, "answers": [text] * len(answers),
                "benchmark": benchmark,
            }
        )  # fmt: skip
    return file


def test_the_learning_rate_is_chosen_on_gdpo_alone_and_before_the_methods_run(tmp_path):
    assert {run.method for run in grid.learning_rate_runs()} == {"gdpo"}
    *first, last = grid.learning_rate_runs()
    for run in first:
        recorded(tmp_path, run, "0")
        assert grid.chosen_learning_rate(tmp_path) is None
    recorded(tmp_path, last, "1")
    assert grid.chosen_learning_rate(tmp_path) == last.learning_rate
    assert {run.method for run in grid.comparison_runs(1e-5)[:9]} == {"gdpo", "k2", "bonus"}
    assert {run.method for run in grid.comparison_runs(1e-5)[9:15]} == {"grpo", "k1", "paper"}


def test_the_report_says_what_is_missing_and_concludes_nothing_from_it(tmp_path):
    text = report.write(tmp_path / "none", tmp_path).read_text()
    assert "The comparison has not begun: 19 runs of 100 steps are missing" in text
    assert "## Outcome" not in text

    recorded(tmp_path / "some", grid.UNTRAINED, "0")
    for run in grid.learning_rate_runs():
        recorded(tmp_path / "some", run, "1" if run.learning_rate == 1e-4 else "0")
    for run in grid.comparison_runs(1e-4)[:3]:
        recorded(tmp_path / "some", run, "1" if run.method == "k2" else "0")
    text = report.write(tmp_path / "some", tmp_path).read_text()
    assert "6 of 22 runs are finished; what follows is preliminary" in text
    nothing = "0.000 [0.000, 0.000]"
    assert f"| before | – | 0.000 | {nothing} | – | {nothing} | – |" in text
    assert f"| GDPO | 1 | 0.000 | {nothing} | – | {nothing} | – |" in text
    all_ = "1.000 [1.000, 1.000] | +1.000, p"
    assert f"| RVPO k=2 | 1 | 1.000 | {all_} < 0.001 | {all_} = 0.500 |" in text
    assert "| `punctuation:no_comma` | 0.00 | 0.00 | 1.00 | 0.00 |" in text
    assert "| found | | 0 | 14 | 0 |" in text and "| lost | | 0 | 0 | 0 |" in text
    assert "| GDPO | 1 | 1.000 | 0.000 |" in text and "| RVPO k=2 | 9 | 0.000 | 1.000 |" in text
    assert "| RVPO with a fixed k = 2 does | **reproduced** |" in text
    assert "| RVPO with k from 0.5 to 2 keeps what GDPO neglects | **open** | no such runs yet |" in text
    assert "failure on another | **not reproduced** | in 0 of 1 runs" in text
    assert "**not reproduced** | the largest of 200 steps before clipping is 0.5 |" in text
    for figure in ("real-model.png", "real-model-kinds.png"):
        assert (tmp_path / "figures" / figure).stat().st_size > 1000
    assert len(read_runs(tmp_path / "some")) == 7
