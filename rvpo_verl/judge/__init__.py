"""A language model that judges which criteria are true of an answer, at the scale of a training.

    criteria.py  what a row asks          slots.py     how many calls at once
    prompt.py    what the judge reads     endpoint.py  one call to one server
    verdict.py   what it may write        cache.py     verdicts on disk
    judge.py     a response and its criteria in, a judgement of each out
    check.py, agreement.py                `rvpo-verl judge`

The answer being judged is untrusted: it may address the judge, forge verdicts, or imitate the end of its block.
"""
