"""The parts of a score's name, `REWARD/.../NUMBER`."""


def reward_of(name: str) -> str:
    """The reward that a score belongs to: `rubric` for `rubric/Essential/3`."""
    return name.split("/", 1)[0]


def family(name: str) -> str:
    """The name under which a score is logged: `rubric/Essential` for `rubric/Essential/3`."""
    return name.rpartition("/")[0] or name
