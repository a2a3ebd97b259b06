import json

import pytest
import torch

from rvpo_verl.plan.model import QWEN2_5, ModelShape, model_shape

SMALL = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "vocab_size": 128,
}  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_those_of_the_model_itself(tmp_path, tied):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(**SMALL, tie_word_embeddings=tied)
    with torch.device("meta"):
        model = Qwen2ForCausalLM(config)
    (tmp_path / "config.json").write_text(json.dumps(SMALL | {"tie_word_embeddings": tied}))
    assert model_shape(str(tmp_path)).parameters == model.num_parameters()


@pytest.mark.parametrize(
    ("name", "billions"),  # from the model cards
    [("0.5B", 0.49), ("1.5B", 1.54), ("3B", 3.09), ("7B", 7.61), ("14B", 14.7), ("32B", 32.5)],
)
def test_the_table_agrees_with_the_model_cards(name, billions):
    assert QWEN2_5[name].parameters / 1e9 == pytest.approx(billions, rel=0.01)


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("Qwen/Qwen2.5-7B", "7B"),
        ("/models/Qwen2.5-1.5B-Instruct/", "1.5B"),
        ("Qwen/Qwen2.5-Coder-14B-Instruct", "14B"),
    ],
)
def test_a_qwen_is_known_by_its_name(path, size):
    assert model_shape(path) == QWEN2_5[size]


@pytest.mark.parametrize("path", ["meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-72B", "Qwen/Qwen3-8B", ""])
def test_another_model_is_not_guessed(path):
    assert model_shape(path) is None


def test_width_of_keys_follows_the_grouped_heads():
    assert ModelShape(64, 3, 4, 2, 96, 128, True).kv_width == 32
