"""RVPO and the methods it is compared with, on a pretrained language model and verifiable instructions.

prompts.py    training prompts, prompts for the learning rate, held-out prompts
methods.py    the compared methods: settings of the project's estimator
policy.py     the model: sampling answers, and one update
training.py   one run, which can be stopped after any step
grid.py       which runs, in which order
results.py    the files of results, one a run
report.py     tables, figures, and what is still missing
"""
