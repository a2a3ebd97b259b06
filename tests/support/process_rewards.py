"""Rewards that run in a process, found by the path of this file."""

import os
import signal
import sys
import time


def by_alarm(response):
    """1 if an alarm interrupts it, which only the main thread of a process can ask for."""

    def interrupt(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        while True:
            time.sleep(0.01)
    except TimeoutError:
        return 1.0


def for_ever(response):
    """Writes its process id to the file that the response names."""
    with open(response, "w") as file:
        file.write(str(os.getpid()))
    while True:
        time.sleep(0.01)


def exits(response):
    sys.exit(3)


class Unprintable(Exception):
    def __str__(self):
        raise ValueError


def unprintable(response):
    raise Unprintable(open)  # nor can it be pickled


def dies(response):
    os._exit(1)


def wants_the_tokenizer(response, tokenizer):
    return 1.0
