"""Rows of TransferQueue that are outputs of one agent session."""

import numpy as np


def last_output_of_session(keys: list[str]) -> np.ndarray:
    """Row of the last output of each row's agent session; keys are `{uid}_{session}_{output}`."""
    last: dict[str, tuple[int, int]] = {}
    sessions = []
    for row, key in enumerate(keys):
        session, _, output = key.rpartition("_")
        sessions.append(session)
        last[session] = max(last.get(session, (-1, -1)), (int(output), row))
    return np.array([last[session][1] for session in sessions])
