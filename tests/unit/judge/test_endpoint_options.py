"""Endpoints as providers have them: headers, query parameters, certificates, keys that expire."""

import asyncio
import ssl
import sys

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge.config import EndpointConfig
from rvpo_verl.judge.endpoint import Endpoint, Endpoints
from rvpo_verl.judge.failure import JudgeError
from rvpo_verl.schema import parse
from tests.support.judging import completion


def requests_of(respond, *, calls=1, tls=None, **options):
    """Makes calls at once; the requests that arrived, and what each call gave."""
    seen = []

    async def handle(request):
        seen.append(request)
        return respond(request)

    async def all_calls():
        app = web.Application()
        app.router.add_route("*", "/v1/{rest:.*}", handle)
        server = TestServer(app, scheme="https" if tls else "http")
        await server.start_server(ssl=tls)
        try:
            url = str(server.make_url("/v1").with_host("localhost"))
            endpoint = Endpoint(parse(EndpointConfig, {"base_url": url, **options}, "endpoint"))
            requests = await asyncio.gather(*(endpoint.encode({}) for _ in range(calls)))
            outcomes = await asyncio.gather(
                *(endpoint.complete(one, 5.0) for one in requests), return_exceptions=True
            )
            return outcomes, endpoint
        finally:
            await server.close()

    outcomes, endpoint = asyncio.run(all_calls())
    return seen, outcomes, endpoint


def fine(request):
    return web.json_response(completion("hello"))


def test_azure_is_asked_with_its_version_and_its_header(monkeypatch):
    monkeypatch.setenv("AZURE_KEY", "secret")
    (request,), (outcome,), _ = requests_of(
        fine,
        model="gpt",
        api_key_env="AZURE_KEY",
        key_header="api-key",
        query={"api-version": "2024-10-21"},
        headers={"X-Team": "blue"},
    )
    assert outcome.text == "hello"
    assert dict(request.query) == {"api-version": "2024-10-21"}
    assert request.headers["api-key"] == "secret"
    assert request.headers["X-Team"] == "blue"
    assert "Authorization" not in request.headers


def test_a_field_that_a_model_refuses_can_be_left_out_and_another_added():
    endpoint = Endpoint(
        EndpointConfig(
            base_url="http://judge/v1",
            model="o",
            extra_body={"max_tokens": None, "max_completion_tokens": 9},
        )
    )
    sent = asyncio.run(endpoint.encode({"max_tokens": 5, "temperature": 0}))
    assert sent == b'{"model": "o", "temperature": 0, "max_completion_tokens": 9}'


def test_a_model_that_is_left_out_is_asked_for_once():
    def respond(request):
        return web.json_response({"data": [{"id": "only"}]}) if request.method == "GET" else fine(request)

    seen, outcomes, endpoint = requests_of(respond, calls=20)
    assert [request.method for request in seen].count("GET") == 1
    assert endpoint.model == "only"
    assert [one.text for one in outcomes] == ["hello"] * 20


def test_a_key_that_expired_is_read_again_once(tmp_path):
    """By 20 calls that are refused at the same time."""
    file, reads = tmp_path / "key", tmp_path / "reads"
    file.write_text("old\n")
    script = f"open({str(reads)!r}, 'a').write('x'); print(open({str(file)!r}).read())"

    def respond(request):
        file.write_text("new")
        if request.headers["Authorization"] == "Bearer new":
            return fine(request)
        return web.json_response({"error": "expired: old"}, status=401)

    given = {"api_key_command": f'{sys.executable} -c "{script}"'}
    _, outcomes, _ = requests_of(respond, calls=20, model="judge", **given)
    assert [one.text for one in outcomes] == ["hello"] * 20
    assert reads.read_text() == "xx"


def test_a_key_that_is_refused_and_stays_the_same_is_a_rejection_without_it(tmp_path):
    file = tmp_path / "key"
    file.write_text("secret-key")

    def respond(request):
        return web.json_response({"error": f"wrong: {request.headers['Authorization']}"}, status=401)

    seen, (error,), _ = requests_of(respond, model="judge", api_key_file=str(file))
    assert isinstance(error, JudgeError)
    assert (error.kind, error.status, len(seen)) == ("rejected", 401, 1)
    assert "secret-key" not in str(error)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"api_key_env": "A", "api_key_file": "b"}, "api_key_env and api_key_file are given"),
        ({"base_url": "http://judge/v1?api-version=1"}, "parameters as query"),
        ({"extra_body": {"messages": []}}, "which the judge sets itself"),
        ({"key_header": "x: y"}, "key_header"),
    ],
)
def test_options_that_contradict_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        parse(EndpointConfig, {"base_url": "http://judge/v1", **given}, "endpoint")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"api_key_file": "/nonexistent"}, "FileNotFoundError"),
        ({"api_key_command": "false"}, "ended with status 1"),
        ({"api_key_command": "true"}, "nothing to its standard output"),
        ({"ca_file": "/nonexistent"}, "expected PEM files"),
    ],
)
def test_what_is_not_there_is_an_error_at_once(given, message):
    with pytest.raises(ConfigError, match=message):
        Endpoint(EndpointConfig(base_url="http://judge/v1", **given))


def test_a_server_is_shown_the_clients_certificate_and_trusted_by_ca_file(certificate):
    file, key = map(str, certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=file)
    context.load_cert_chain(file, key)
    context.verify_mode = ssl.CERT_REQUIRED
    _, (with_it,), _ = requests_of(
        fine, tls=context, model="judge", ca_file=file, client_certificate=file, client_key=key
    )
    _, (without,), _ = requests_of(fine, tls=context, model="judge", ca_file=file)
    assert with_it.text == "hello"
    assert without.kind == "connection"


def test_a_proxy_of_the_environment_may_be_left_alone(monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://proxy:1")
    EndpointConfig(base_url="http://judge/v1", proxy=False)
    Endpoint(EndpointConfig(base_url="http://judge/v1", proxy=False))
    with pytest.raises(ConfigError, match="socks5"):
        Endpoint(EndpointConfig(base_url="http://judge/v1"))


def test_two_judges_at_one_endpoint_share_its_limit():
    known = Endpoints()
    configs = [EndpointConfig(base_url="http://judge/v1", model="m")]
    (one,), (other,) = known.get(configs, limit=9), known.get(configs, limit=5)
    assert one is other
    assert one.limit == 5
