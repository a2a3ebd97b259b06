"""The paper's comparison in miniature: many tiny policies trained at once on tasks whose rewards conflict.

    words, tasks      generated tool-calling prompts, answers of at most 13 words, their rewards
    policy, warm_up   a recurrent policy with a leading dimension of runs, and how it is first taught
    methods, variants what turns rewards into advantages: the paper's methods, and ours beyond them
    loop              policy-gradient training of a batch of runs
    grid, results     which runs, and the file of the finished ones
    qwen, scoring, launcher   the same tasks for verl's launcher: its policy, its rewards, its runs
    statistics, figures, confirm, report

`scripts/experiment.py` is the command line.
"""
