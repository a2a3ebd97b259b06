"""Names that several packages share.

The name of a score is `REWARD/.../NUMBER`.
"""

__all__ = ["SETTINGS", "TRAINED"]

TRAINED = "rvpo_trained"
"""Key of verl's dumps: the advantage that an answer was trained with."""
SETTINGS = "rvpo_settings"
"""Key of verl's dumps: what computed that advantage."""


def reward_of(name: str) -> str:
    """The reward that a score belongs to: `rubric` for `rubric/Essential/3`."""
    return name.split("/", 1)[0]


def family(name: str) -> str:
    """The name under which a score is logged: `rubric/Essential` for `rubric/Essential/3`."""
    return name.rpartition("/")[0] or name
