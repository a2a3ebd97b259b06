"""What a third party ships: one reward in a distribution of its own."""


def politeness(response, *, word="please"):
    """1 if the response says please."""
    print(f"scoring {response}")  # to stdout, as careless rewards do
    return word in response
