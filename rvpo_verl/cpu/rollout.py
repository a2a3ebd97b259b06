"""A verl rollout engine on a transformers model: tokens in, tokens and log-probabilities out.

Requests that arrive together with the same sampling parameters are generated as one batch.

Shapes: B requests, T generated tokens, R answers that are still in the batch, L tokens up to now, V of the vocabulary.
"""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput
from verl.workers.rollout.utils import ensure_async_iterator

from rvpo_verl.cpu import attention
from rvpo_verl.cpu.sampling import Choose, inverse_cdf, sample

GATHER_SECONDS = 0.02
"""How long the first request waits for others to share its batch."""


def _server_name(replica_rank: int) -> str:
    return f"hf_server_{replica_rank}"


class TransformersAdapter(BaseRollout):
    """In each training worker: sends the actor's weights to the server of its replica."""

    def __init__(
        self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1, **_: Any
    ) -> None:
        super().__init__(config, model_config, device_mesh)
        rank = int(os.environ["RANK"])
        ranks_per_replica = (
            self.config.tensor_model_parallel_size
            * self.config.data_parallel_size
            * self.config.pipeline_model_parallel_size
        )
        self._replica_rank = rank // ranks_per_replica if replica_rank == -1 else replica_rank
        self._sends = rank % ranks_per_replica == 0

    async def resume(self, tags: list[str]) -> None: ...

    async def release(self) -> None: ...

    async def update_weights(
        self, weights: Any, wire_format: str = "named_tensors", *, global_steps: int | None = None, **_: Any
    ) -> None:
        if wire_format != "named_tensors":
            raise ValueError(f"wire_format={wire_format!r}; the hf rollout accepts named_tensors only")
        state = {}
        # Every rank iterates over all weights, because gathering a sharded tensor is a collective operation.
        async for name, tensor in ensure_async_iterator(weights):
            if self._sends:
                state[name] = tensor.detach().to("cpu", copy=True)
        if self._sends:
            server = ray.get_actor(_server_name(self._replica_rank))
            await server.load_weights.remote([ray.put(state)], global_steps)


@dataclass(frozen=True)
class _Request:
    prompt_ids: list[int]
    sampling: tuple[tuple[str, Any], ...]
    answer: asyncio.Future[TokenOutput]


class TransformersServer:
    """A Ray actor that holds one copy of the policy."""

    def __init__(self, config: Any, model_config: Any, replica_rank: int) -> None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self._config = omega_conf_to_dataclass(config)
        model = omega_conf_to_dataclass(model_config)
        dtype = getattr(torch, self._config.dtype)
        self._model = AutoModelForCausalLM.from_config(
            model.hf_config, dtype=dtype, attn_implementation=attention.implementation(model.hf_config)
        ).eval()
        self._eos, self._pad = model.tokenizer.eos_token_id, model.tokenizer.pad_token_id
        self._global_steps: int | None = None
        self._waiting: list[_Request] = []
        self._batches: asyncio.Task[None] | None = None
        torch.manual_seed(int(self._config.seed) + replica_rank)

    async def _ignore(self, *_: Any, **__: Any) -> None:
        """A request of verl's weight synchronization or profiling for which this server has nothing to do."""

    ready = sleep = wake_up = clear_kv_cache = release_kv_cache = resume_kv_cache = _ignore
    start_profile = stop_profile = resume_generation = _ignore

    async def abort_all_requests(self, reject_request: bool = False) -> dict[str, Any]:
        return {"aborted_count": 0, "request_ids": []}

    async def load_weights(self, references: list[Any], global_steps: int | None) -> None:
        missing, unexpected = self._model.load_state_dict(await references[0], strict=False)
        if unexpected or any("lm_head" not in name for name in missing):  # tied embeddings are sent once
            raise ValueError(
                f"the actor's weights do not match the rollout's model: {missing=}, {unexpected=}"
            )
        if global_steps is not None:
            self._global_steps = global_steps

    async def generate(
        self, prompt_ids: list[int], sampling_params: dict[str, Any], request_id: str, **_: Any
    ) -> TokenOutput:
        answer: asyncio.Future[TokenOutput] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Request(list(prompt_ids), tuple(sorted(sampling_params.items())), answer))
        if self._batches is None or self._batches.done():
            self._batches = asyncio.create_task(self._generate_batches())
        return await answer

    async def _generate_batches(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        while self._waiting:
            sampling = self._waiting[0].sampling
            same = [request for request in self._waiting if request.sampling == sampling]
            batch = same[: self._config.max_num_seqs]
            self._waiting = [request for request in self._waiting if request not in batch]
            try:
                outputs = await asyncio.to_thread(
                    self._generate, [request.prompt_ids for request in batch], dict(sampling)
                )
            except Exception as error:
                for request in batch:
                    request.answer.set_exception(error)
            else:
                for request, output in zip(batch, outputs, strict=True):
                    request.answer.set_result(output)

    def _generate(self, prompts: list[list[int]], sampling: dict[str, Any]) -> list[TokenOutput]:
        temperature = float(sampling.get("temperature", 1.0))
        answers = sample(
            self._model,
            prompts,
            int(sampling.get("max_tokens") or self._config.response_length),
            _most_probable if temperature == 0 else _drawn(sampling),
            eos=self._eos,
            pad=self._pad,
            temperature=temperature or 1.0,
        )
        return [
            TokenOutput(
                token_ids=ids[:length],
                log_probs=log_probs[:length] if sampling.get("logprobs") else None,
                stop_reason="completed",
                num_preempted=0,
                extra_fields={"global_steps": self._global_steps},
            )
            for ids, log_probs, length in zip(
                answers.ids_BT.tolist(), answers.log_prob_BT.tolist(), answers.length_B.tolist(), strict=True
            )
        ]


def _most_probable(log_prob_RV: Tensor, ids_RL: Tensor, row_R: Tensor, t: int) -> Tensor:
    return log_prob_RV.argmax(dim=-1)


def _drawn(sampling: dict[str, Any]) -> Choose:
    """At random, as vLLM's options of the same names say."""
    limits = LogitsProcessorList()
    if (penalty := float(sampling.get("repetition_penalty", 1.0))) != 1.0:
        limits.append(RepetitionPenaltyLogitsProcessor(penalty))
    if (top_k := int(sampling.get("top_k", -1))) > 0:
        limits.append(TopKLogitsWarper(top_k))
    if (top_p := float(sampling.get("top_p", 1.0))) < 1.0:
        limits.append(TopPLogitsWarper(top_p))

    def choose(log_prob_RV: Tensor, ids_RL: Tensor, row_R: Tensor, t: int) -> Tensor:
        # transformers names the types of CPU tensors of old.
        left_RV = limits(ids_RL, log_prob_RV)  # type: ignore[arg-type]
        return inverse_cdf(left_RV.log_softmax(dim=-1), torch.rand(len(row_R)))

    return choose


class TransformersReplica(RolloutReplica):
    """One server on the node of the first training worker of its replica."""

    async def launch_servers(self) -> None:
        if self.is_reward_model or self.is_teacher_model:
            raise ValueError("the hf rollout serves the policy only; use vllm for reward or teacher models")
        node = await self.workers[0].__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id())
        server = (
            ray.remote(TransformersServer)
            .options(
                num_cpus=0,
                name=_server_name(self.replica_rank),
                max_concurrency=self.max_concurrency,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False),
            )
            .remote(self.config, self.model_config, self.replica_rank)
        )
        await server.ready.remote()
        self.servers = [server]
        self._server_handle, self._server_address = server, f"hf://{self.replica_rank}"
