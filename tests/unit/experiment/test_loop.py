"""Training many runs at once, the file of results, and the figures drawn from it."""

import numpy as np
import pytest
import torch
from experiment import grid, loop, policy, prompts, results, warm_up
from experiment.words import END, MAX_WORDS, VOCABULARY

from tests.support.made_runs import made, run


@pytest.fixture(autouse=True)
def cold(monkeypatch):
    """Untrained policies in place of the warmed-up ones, and one evaluation at each end."""
    checkpoints = policy.initialize(3, torch.Generator().manual_seed(0))
    monkeypatch.setattr(warm_up, "checkpoints", lambda: checkpoints)
    monkeypatch.setattr(loop, "FINAL_SAMPLES", 1)
    monkeypatch.setattr(loop, "EVALUATIONS", 1)


def sampled(parameters, N=20, seed=0):
    R = len(parameters["out"])
    g = torch.Generator().manual_seed(seed)
    asked = prompts.sample(R * N, g).view(R, N, -1)
    return asked, policy.sample(parameters, asked, torch.rand(MAX_WORDS, R, N, generator=g))


def test_log_probability_of_what_was_sampled_is_what_supervision_gives_it():
    parameters = policy.initialize(2, torch.Generator().manual_seed(1))
    asked, drawn = sampled(parameters)
    scored = policy.log_prob(parameters, asked, drawn.words_RNT)
    torch.testing.assert_close(scored.log_prob_RNT, drawn.log_prob_RNT)
    assert torch.equal(scored.mask_RNT, drawn.mask_RNT)
    assert (drawn.words_RNT[drawn.mask_RNT == 0] == END).all()
    assert drawn.mask_RNT[..., 0].all()


def test_words_are_drawn_with_their_probability():
    parameters = policy.initialize(1, torch.Generator().manual_seed(1))
    one = prompts.sample(1, torch.Generator().manual_seed(0)).expand(1, 4000, -1)
    uniform = torch.rand(MAX_WORDS, 1, 4000, generator=torch.Generator().manual_seed(0))
    first = policy.sample(parameters, one, uniform).words_RNT[0, :, 0]
    seen = torch.bincount(first, minlength=VOCABULARY) / 4000
    every = torch.arange(VOCABULARY)[None, :, None].expand(1, VOCABULARY, MAX_WORDS)
    probability = policy.log_prob(parameters, one[:, :VOCABULARY], every).log_prob_RNT[0, :, 0].exp()
    assert (seen - probability).abs().max() < 0.03


def test_a_run_ends_the_same_alone_and_among_others():
    chosen = [run("gdpo"), run("k2", checkpoint=1), run("grpo", seed=1), run("k2", seed=1)]
    together = loop.train(chosen)
    for one, expected in zip(chosen, together, strict=True):
        (alone,) = loop.train([one])
        np.testing.assert_allclose(alone.final_rewards, expected.final_rewards, atol=1e-6)
        np.testing.assert_allclose(alone.constant, expected.constant, atol=1e-6)


def test_training_raises_what_is_rewarded():
    """Brevity is learned from an untrained policy within a few steps."""
    (outcome,) = loop.train([run("gdpo", task="tradeoff", steps=25, answers=32)])
    before, after = outcome.rewards[0][4], outcome.rewards[-1][4]
    assert after > before + 0.05


def test_noise_of_the_judges_is_in_training_alone():
    quiet, loud = loop.train([run()]), loop.train([run(flipped=0.5)])
    assert quiet[0].rewards[0] == pytest.approx(loud[0].rewards[0], abs=0.1)
    assert quiet[0].final_rewards != loud[0].final_rewards


def test_runs_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        loop.train([run(), run(steps=4)])


def test_keys_tell_runs_apart_and_stay():
    runs = grid.whole_grid()
    assert len({item.key for item in runs}) == len(runs)
    assert run().key == run().key != run(seed=1).key
    assert len(runs[0].key) == 16


def test_results_are_read_back_each_once(tmp_path):
    path = tmp_path / "results.jsonl"
    for result in (made(), made(seed=1), made()):
        results.append(path, [result.run], [result.outcome])
    assert [item.run.seed for item in results.read(path)] == [0, 1]
    assert results.read(path)[0].outcome == made().outcome
    results.write_compressed(results.read(path), tmp_path / "kept.jsonl.gz")
    assert results.read(tmp_path / "kept.jsonl.gz") == results.read(path)
    assert results.read(tmp_path / "absent.jsonl") == []


def test_a_line_cut_off_by_an_interruption_is_made_again(tmp_path):
    path = tmp_path / "results.jsonl"
    results.append(path, [made().run], [made().outcome])
    path.write_text(path.read_text() + '{"run":{"ta')
    assert len(results.read(path)) == 1
    results.append(path, [made(seed=1).run], [made(seed=1).outcome])
    assert path.read_text().count("\n") == 3
    with pytest.raises(ValueError, match="line 2: not a result"):
        results.read(path)
