"""Step and phase of a rollout on their way to a reward manager; launcher runs with verl's workers are elsewhere."""

import asyncio
from types import SimpleNamespace

from rvpo_verl.attach.agent_loop import attach_worker, of_row


class Worker:
    """The two methods in which verl's worker runs a rollout and sends its row to a reward manager."""

    def __init__(self):
        self.rows = []

    async def _run_agent_loop(self, sampling_params, trajectory, *, agent_name, **kwargs):
        await asyncio.sleep(0)
        await self._compute_score([], kwargs=kwargs)
        assert set(kwargs) == {"uid"}, "what verl stores of the row is as before"

    async def _compute_score(self, outputs, kwargs):
        await asyncio.sleep(0)
        self.rows.append(kwargs)


def test_rollouts_at_the_same_time_keep_their_own_step_and_phase():
    attach_worker(SimpleNamespace(AgentLoopWorker=Worker))
    worker = Worker()

    async def rollouts():
        trajectories = [{"step": step, "validate": step % 2 == 0} for step in range(-1, 6)]
        await asyncio.gather(
            *(
                worker._run_agent_loop({}, trajectory, agent_name="any", uid=trajectory["step"])
                for trajectory in trajectories
            )
        )
        await worker._compute_score([], kwargs={"uid": None})

    asyncio.run(rollouts())
    unknown, *known, outside = worker.rows
    assert of_row(unknown) == {"global_step": None, "validate": False}
    for row in known:
        assert of_row(row) == {"global_step": row["uid"], "validate": row["uid"] % 2 == 0}
    assert len(known) == 6
    assert of_row(outside) == {"global_step": None, "validate": None}
