"""A language model that judges which criteria are true of a response, at the scale of a training.

    config.py    what a user sets       endpoint.py  one call to one server
    prompt.py    what the judge reads   session.py   HTTP sessions and proxies
    verdict.py   what it may write      limits.py    calls in flight
    judge.py     a response and its criteria in, a judgement of each out; retries
    check.py, agreement.py              `rvpo-verl judge`

The judged response is untrusted: it may address the judge, forge verdicts, or imitate the end of its block.
"""
