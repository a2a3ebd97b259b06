import pytest

from tests.support.scripted_judge import scripted_judge


@pytest.fixture
def server():
    with scripted_judge() as server:
        yield server
