"""What a launch would do, without a GPU: `rvpo-verl plan`, and `DRY_RUN=1` of every recipe.

The installed verl's own launcher composes and validates the configuration, up to the point where it would
start Ray. From the result the plan computes how often things happen and how much memory they take.
"""
