"""What a launch would do, without a GPU: `rvpo-verl plan`, and `DRY_RUN=1` of every recipe.

The configuration is composed and validated by the installed verl's own launcher, up to the point where it
would start Ray; the rest is arithmetic on what came out.
"""
