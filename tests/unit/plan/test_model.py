import json

import pytest

from rvpo_verl.errors import UserError
from rvpo_verl.plan.model import model_shape

QWEN3_8B = {
    "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 36,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288,
    "vocab_size": 151936, "tie_word_embeddings": False,
}  # fmt: skip
QWEN3_30B_A3B = {
    "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 2048,
    "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128,
    "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8,
    "vocab_size": 151936, "tie_word_embeddings": False,
}  # fmt: skip
QWEN2_5_VL_7B = {
    "model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"], "hidden_size": 3584,
    "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": 18944,
    "vocab_size": 152064, "tie_word_embeddings": False,
    "vision_config": {"hidden_size": 1280, "out_hidden_size": 3584, "in_chans": 3, "spatial_patch_size": 14},
}  # fmt: skip
SMALL = {
    "model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 128,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    def write(config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return str(tmp_path)

    return write


@pytest.mark.parametrize(
    ("config", "billions"),  # from the model cards
    [(QWEN3_8B, 8.19), (QWEN3_30B_A3B, 30.5), (QWEN2_5_VL_7B, 8.29)],
    ids=["Qwen3-8B", "Qwen3-30B-A3B", "Qwen2.5-VL-7B"],
)
def test_parameters_are_those_of_the_model_card(folder, config, billions):
    assert model_shape(folder(config)).parameters / 1e9 == pytest.approx(billions, rel=0.005)


@pytest.mark.parametrize(
    ("path", "billions"),  # from the model cards
    [
        ("Qwen/Qwen2.5-1.5B", 1.54),
        ("/no/such/folder/Qwen2.5-3B-Instruct/", 3.09),
        ("Qwen/Qwen2.5-7B-Instruct", 7.61),
        ("Qwen/Qwen2.5-14B", 14.7),
    ],
)
def test_the_models_of_the_recipes_need_no_hub(offline, path, billions):
    assert model_shape(path).parameters / 1e9 == pytest.approx(billions, rel=0.006)


@pytest.mark.parametrize(("tied", "embeddings"), [(True, 128 * 64), (False, 2 * 128 * 64)])
def test_tied_embeddings_count_once(folder, tied, embeddings):
    attention = 2 * 64 * 64 + 64 + 2 * (64 * 32 + 32)  # q and o, bias of q; k and v with biases
    layer = attention + 3 * 64 * 96 + 2 * 64  # MLP, two norms
    shape = model_shape(folder(SMALL | {"tie_word_embeddings": tied}))
    assert shape.layer_parameters == layer
    assert shape.parameters == 3 * layer + embeddings + 64  # the last norm


def test_width_of_the_keys_follows_head_dim_and_the_grouped_heads(folder):
    assert model_shape(folder(SMALL)).kv_width == 2 * 16  # head_dim is 64 / 4 where it is not given
    assert model_shape(folder(QWEN3_30B_A3B)).kv_width == 4 * 128  # 2048 / 32 would be 64


def test_a_token_passes_some_of_the_experts_and_fsdp_gathers_all(folder):
    shape = model_shape(folder(QWEN3_30B_A3B))
    assert shape.intermediate == 8 * 768
    assert shape.layer_parameters > 128 * 3 * 2048 * 768


@pytest.fixture
def offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    "path", ["meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-72B", "Qwen/Qwen2.5-VL-7B", "/no/such/folder"]
)
def test_another_model_is_not_guessed(offline, path):
    with pytest.raises(UserError, match="neither local nor on the hub"):
        model_shape(path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden_size": 64}, "model_type"),
        ({"model_type": "no-such-type"}, "no-such-type"),
        (SMALL | {"vocab_size": -1}, "transformers cannot build the model"),
    ],
)
def test_a_configuration_that_cannot_be_built_says_why(folder, config, message):
    with pytest.raises(UserError, match=message):
        model_shape(folder(config))
