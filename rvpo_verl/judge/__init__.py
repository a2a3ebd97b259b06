"""A language model that judges which criteria are true of a response, at the scale of a training.

    config.py    what a user sets       endpoint.py  one call to one server
    prompt.py    what the judge reads   session.py   HTTP sessions and proxies
    verdict.py   what it may write      reply.py     what a server answers
    judge.py     a response and its criteria in, a judgement of each out
    ask.py       one question, its retries and endpoints
    panel.py     several judges         call_log.py  calls, for people
    limits.py, pace.py, rates.py        which call is sent when
    lending.py                          one limit for all reward workers
    check.py, agreement.py              `rvpo-verl judge`

The judged response is untrusted: it may address the judge, forge verdicts, or imitate the end of its block.
"""
