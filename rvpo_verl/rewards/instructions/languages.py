"""Which language an answer is in, the same for the same answer in every thread and process.

langdetect draws random numbers without a seed, and builds its profiles without a lock. A factory of our own has
both, and leaves langdetect's own as it is.
"""

from functools import cache
from threading import Lock
from typing import Any

_lock = Lock()


def language(text: str) -> str | None:
    """Code of the language, such as `en`; None where there is none to be seen, as in `123`."""
    from langdetect import LangDetectException

    with _lock:
        factory = _factory()
    detector = factory.create()
    detector.append(text)
    try:
        code: str = detector.detect()
    except LangDetectException:
        return None
    return code


@cache
def _factory() -> Any:
    from langdetect import DetectorFactory
    from langdetect.detector_factory import PROFILES_DIRECTORY

    factory = DetectorFactory()
    factory.seed = 0
    factory.load_profile(PROFILES_DIRECTORY)
    return factory
