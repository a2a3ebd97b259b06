"""An estimate of the memory of one GPU, good enough to tell a launch that fits from one that cannot.

Training and generation alternate on the same GPUs, and the larger one decides.

Training (verl keeps fp32 parameters, and vLLM sleeps meanwhile), per parameter of this GPU's shard:
  FSDP      4 (fp32) + 4 (gradient) + 8 (Adam)                      over all GPUs
  Megatron  2 (bf16) + 4 (gradient)                                 over TP x PP
            + 12 (fp32 copy, Adam)                                  over all GPUs (distributed optimizer)
and for a micro batch of `ppo_max_token_len_per_gpu` tokens, with activations recomputed layer by layer:
  2 x hidden x layers                    inputs of the layers, kept for the backward pass
  2 x (8 x hidden + 3 x intermediate)    one layer while it is recomputed
  10 x vocabulary                        logits in bf16, in fp32 for the loss, and their gradient in fp32
Megatron divides the first by PP and the other two by TP. FSDP holds two layers unsharded, in bf16.

Generation: vLLM takes `gpu_memory_utilization` of the card (weights in bf16 over its TP, the rest for the KV
cache), beside the state that training does not move to the host: parameters and Adam, no gradients.

Not counted: the CUDA context (about 1 GB), communication buffers, fragmentation. Expect +-20%.
"""

from dataclasses import dataclass

from omegaconf import DictConfig

from rvpo_verl.plan.model import ModelShape
from rvpo_verl.plan.workload import rollout_gpus

GIB = 2**30
"""Cards are sold, and drivers report, in GiB."""
LOGIT_BYTES = 10
CHECKPOINT_BYTES = {"model": 4, "optimizer": 8, "hf_model": 2}
"""Of one parameter on disk: in fp32, in Adam, and in Hugging Face's format in bf16."""


@dataclass(frozen=True)
class Memory:
    """GiB on one GPU, and on disk."""

    state: float
    """Parameters, gradients and optimizer while training."""
    activations: float
    kept: float
    """What training leaves on the GPU during generation."""
    rollout: float
    """What vLLM takes."""
    weights: float
    """What the weights take of that."""
    kv_tokens: int
    """Tokens that fit the KV cache of one vLLM engine."""
    checkpoint: float
    """One checkpoint on disk, all GPUs together."""

    @property
    def training(self) -> float:
        return self.state + self.activations

    @property
    def generation(self) -> float:
        return self.kept + self.rollout


def estimate(config: DictConfig, shape: ModelShape, card_gb: float) -> Memory:
    """
    Args:
        card_gb: memory of one GPU in GiB.
    """
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    gpus = config.trainer.nnodes * config.trainer.n_gpus_per_node
    tokens = _micro_batch_tokens(config)
    parameters = shape.parameters
    if actor.strategy == "megatron":
        engine = actor.megatron
        tp, pp = engine.tensor_model_parallel_size, engine.pipeline_model_parallel_size
        tokens /= engine.context_parallel_size
        model, gradient = (parameters * factor / (tp * pp) for factor in (2, 4))
        optimizer, gathered = 12 * parameters / gpus, 0
    else:
        engine = actor.fsdp_config
        tp, pp = 1, 1
        tokens /= actor.ulysses_sequence_parallel_size
        shards = gpus if engine.fsdp_size in (-1, None) else engine.fsdp_size
        model, gradient, optimizer = (parameters * factor / shards for factor in (4, 4, 8))
        gathered = 2 * 2 * shape.layer_parameters
    activations = tokens * (
        2 * shape.hidden * shape.layers / pp
        + 2 * (8 * shape.hidden + 3 * shape.intermediate) / tp
        + LOGIT_BYTES * shape.vocabulary / tp
    )
    apart = rollout_gpus(config) and not config.actor_rollout_ref.get("hybrid_engine", True)
    kept = (
        0
        if apart
        else (0 if engine.param_offload else model) + (0 if engine.optimizer_offload else optimizer)
    )
    weights = 2 * parameters / rollout.tensor_model_parallel_size
    reserved = rollout.gpu_memory_utilization * card_gb * GIB
    bytes_per_token = 2 * 2 * shape.layers * shape.kv_width / rollout.tensor_model_parallel_size
    saved = sum(CHECKPOINT_BYTES.get(part, 0) for part in actor.checkpoint.save_contents)
    return Memory(
        state=(model + gradient + optimizer + gathered) / GIB,
        activations=activations / GIB,
        kept=kept / GIB,
        rollout=reserved / GIB,
        weights=weights / GIB,
        kv_tokens=max(0, int((reserved - weights) / bytes_per_token)),
        checkpoint=parameters * saved / GIB,
    )


def _micro_batch_tokens(config: DictConfig) -> float:
    actor = config.actor_rollout_ref.actor
    tokens: float
    if actor.use_dynamic_bsz:
        tokens = actor.ppo_max_token_len_per_gpu
    else:
        sequence = config.data.max_prompt_length + config.data.max_response_length
        tokens = (actor.ppo_micro_batch_size_per_gpu or 1) * sequence
    return tokens
