import pytest


@pytest.fixture(scope="session")
def judge_server(tmp_path_factory):
    """A real vLLM server, one for all the tests that ask it. It starts within `vllm_server.START_SECONDS`."""
    from tests.support import vllm_server

    if not vllm_server.installed():
        pytest.skip(vllm_server.REASON)
    with vllm_server.vllm_server(tmp_path_factory.mktemp("judge_server")) as server:
        yield server
