"""A small version of the paper's comparison: many tiny policies, trained together, on tasks whose rewards conflict.

    words, tasks      generated tool-calling prompts, answers of at most 13 words, their rewards
    policy, warm_up   a recurrent policy with a leading dimension of runs, and its supervised warm-up
    methods, variants settings of the project's estimator: the paper's methods and ours, and aggregations of our own
    loop              policy-gradient training of a batch of runs
    grid, results     the list of runs, and the file of finished runs
    qwen, scoring, launcher   the same tasks for verl's launcher: its policy, its rewards, its runs
    statistics, figures, confirm, report

`scripts/experiment.py` is the command line.
"""
