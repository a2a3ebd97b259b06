"""A verl rollout engine on `transformers.generate`: tokens in, tokens and log-probabilities out.

Requests that arrive together with the same sampling parameters are generated as one batch.

Shapes: B requests, P tokens of the longest prompt, T generated tokens.
"""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import Tensor
from transformers import AutoModelForCausalLM
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput
from verl.workers.rollout.utils import ensure_async_iterator

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
        self._model = AutoModelForCausalLM.from_config(model.hf_config, dtype=dtype).eval()
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

    @torch.no_grad()
    def _generate(self, prompts: list[list[int]], sampling: dict[str, Any]) -> list[TokenOutput]:
        longest = max(map(len, prompts))
        ids_BP = torch.full((len(prompts), longest), self._pad)
        mask_BP = torch.zeros_like(ids_BP)
        for row, prompt in enumerate(prompts):
            ids_BP[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask_BP[row, longest - len(prompt) :] = 1

        temperature = float(sampling.get("temperature", 1.0))
        options: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            options = {
                "do_sample": True,
                "temperature": temperature,
                "top_p": float(sampling.get("top_p", 1.0)),
                "top_k": max(int(sampling.get("top_k", -1)), 0),
                "repetition_penalty": float(sampling.get("repetition_penalty", 1.0)),
            }
        output = self._model.generate(
            input_ids=ids_BP,
            attention_mask=mask_BP,
            max_new_tokens=int(sampling.get("max_tokens") or self._config.response_length),
            eos_token_id=self._eos,
            pad_token_id=self._pad,
            return_dict_in_generate=True,
            output_logits=bool(sampling.get("logprobs")),
            **options,
        )
        ids_BT = output.sequences[:, longest:]
        log_probs_BT = None
        if output.logits is not None:
            logits_BTV = torch.stack(output.logits, dim=1).float() / (temperature or 1.0)
            log_probs_BT = logits_BTV.log_softmax(-1).gather(-1, ids_BT[..., None])[..., 0]
        return [self._output(ids_BT, log_probs_BT, row) for row in range(len(prompts))]

    def _output(self, ids_BT: Tensor, log_probs_BT: Tensor | None, row: int) -> TokenOutput:
        ids = ids_BT[row].tolist()
        length = ids.index(self._eos) + 1 if self._eos in ids else len(ids)
        return TokenOutput(
            token_ids=ids[:length],
            log_probs=None if log_probs_BT is None else log_probs_BT[row, :length].tolist(),
            stop_reason="completed",
            num_preempted=0,
            extra_fields={"global_steps": self._global_steps},
        )


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
