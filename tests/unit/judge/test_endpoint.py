"""One call to servers that send bytes as scripted, over TCP, TLS and through proxies."""

import asyncio
import contextlib
import gzip
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge import session
from rvpo_verl.judge.config import EndpointConfig
from rvpo_verl.judge.endpoint import Endpoint
from rvpo_verl.judge.failure import JudgeError


def completion(text):
    return b'{"choices": [{"message": {"content": "%s"}}]}' % text.encode()


def with_length(body, *headers, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


HELLO = completion("hello")
LENGTH = with_length(HELLO)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n%s\r\n%x;x=y\r\n%s\r\n0\r\nTrailer: x\r\n\r\n"
    % (HELLO[:2], len(HELLO) - 2, HELLO[2:])
)
UNTIL_CLOSED = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + HELLO
AFTER_INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + LENGTH
COMPRESSED = with_length(gzip.compress(HELLO), "Content-Encoding: gzip")


class Peer:
    """Reads a request, writes the next of its answers in the given pieces, and continues unless it closes."""

    def __init__(self, *answers, closes=False):
        self.answers, self.closes = list(answers), closes
        self.requests, self.connections = [], 0

    async def __call__(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
                body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
                self.requests.append((head, body))
                for piece in self.answers.pop(0):
                    if isinstance(piece, (int, float)):
                        await asyncio.sleep(piece)
                    else:
                        writer.write(piece)
                        await writer.drain()
                        await asyncio.sleep(0)
                if self.closes:
                    return


@contextlib.asynccontextmanager
async def listening(peer, tls=None):
    server = await asyncio.start_server(peer, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def endpoint_at(base_url, **options):
    return Endpoint(EndpointConfig(base_url=base_url, model="judge", **options))


def run(peer, *requests, timeout=5.0):
    """The text, or the JudgeError, of one request after the other."""

    async def all_requests():
        async with listening(peer) as port:
            endpoint, outcomes = endpoint_at(f"http://127.0.0.1:{port}/v1"), []
            for request in requests:
                try:
                    outcomes.append((await endpoint.complete(request, timeout)).text)
                except JudgeError as error:
                    outcomes.append(error)
            return outcomes

    return asyncio.run(all_requests())


# --- responses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [LENGTH, CHUNKED, UNTIL_CLOSED, AFTER_INTERIM, COMPRESSED])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_response_does_not_depend_on_the_pieces_it_arrives_in(whole, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert run(Peer(pieces, closes=whole is UNTIL_CLOSED), b"") == ["hello"]


def test_a_request_has_the_expected_head_and_body():
    peer = Peer([LENGTH])
    run(peer, '{"text": "ü"}'.encode())
    ((head, body),) = peer.requests
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    assert lines[1].startswith("Host: 127.0.0.1:")
    assert {"Content-Length: 14", "Content-Type: application/json"} <= set(lines)
    assert not [line for line in lines if line.lower().startswith(("authorization", "cookie"))]
    assert body == '{"text": "ü"}'.encode()


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        ([b"nonsense\r\n\r\n"], False),
        ([LENGTH[:-5]], True),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: no\r\n\r\n"], False),
        ([], True),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"], True),  # and nothing after it
    ],
)
def test_an_incomplete_or_invalid_response_is_a_failed_connection(answer, closes):
    (error,) = run(Peer(answer, closes=closes), b"")
    assert error.cause.startswith("connection: http://127.0.0.1:")
    assert error.retryable


def test_no_server_is_a_failed_connection():
    async def nobody():
        async with listening(Peer()) as port:
            pass
        await endpoint_at(f"http://127.0.0.1:{port}").complete(b"", 5.0)

    with pytest.raises(JudgeError, match=r"Cannot connect to host 127\.0\.0\.1") as raised:
        asyncio.run(nobody())
    assert raised.value.kind == "connection"


def test_a_redirect_is_not_followed_and_its_target_is_named_without_secrets(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "sk-secret")
    location = "Location: https://me:pw@judge.example/sk-secret/v2?key=sk-secret"
    peer = Peer([with_length(b"moved", location, status="307 Temporary Redirect")])

    async def ask():
        async with listening(peer) as port:
            config = EndpointConfig(
                base_url=f"http://127.0.0.1:{port}", model="judge", api_key_env="JUDGE_KEY"
            )
            await Endpoint(config).complete(b"{}", 5.0)

    with pytest.raises(JudgeError) as raised:
        asyncio.run(ask())
    assert "HTTP 307: a redirect to https://judge.example/[key]/v2, which is not followed" in str(
        raised.value
    )
    assert "sk-secret" not in str(raised.value)
    assert "pw" not in str(raised.value)
    assert raised.value.kind == "rejected"
    assert not raised.value.retryable


def test_cookies_are_not_kept():
    peer = Peer([with_length(HELLO, "Set-Cookie: a=b")], [LENGTH])
    assert run(peer, b"1", b"2") == ["hello", "hello"]
    assert b"ookie" not in peer.requests[1][0]


# --- connections ----------------------------------------------------------------------------------------


def test_a_connection_is_reused():
    peer = Peer([LENGTH], [CHUNKED], [LENGTH])
    assert run(peer, b"1", b"2", b"3") == ["hello"] * 3
    assert peer.connections == 1
    assert [body for _, body in peer.requests] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("first", [[with_length(HELLO, "Connection: close")], [LENGTH + LENGTH]])
def test_a_connection_with_an_uncertain_state_is_not_reused(first):
    peer = Peer(first, [with_length(completion("other"))])
    assert run(peer, b"1", b"2") == ["hello", "other"]
    assert peer.connections == 2


def test_a_late_response_is_not_taken_for_that_of_another_request():
    peer = Peer([0.3, LENGTH], [0.3, LENGTH], [0.6, with_length(completion("other"))])

    async def time_out_then_cancel_then_ask():
        async with listening(peer) as port:
            endpoint = endpoint_at(f"http://127.0.0.1:{port}")
            with pytest.raises(JudgeError, match=r"no answer within 0\.1 s"):
                await endpoint.complete(b"", 0.1)
            endpoint = endpoint_at(f"http://127.0.0.1:{port}")
            task = asyncio.ensure_future(endpoint.complete(b"", 5.0))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            return (await endpoint.complete(b"", 5.0)).text

    assert asyncio.run(time_out_then_cancel_then_ask()) == "other"


def test_the_timeout_covers_the_whole_response():
    pieces = [piece for byte in LENGTH[:-1] for piece in (bytes([byte]), 0.01)]
    (error,) = run(Peer(pieces), b"", timeout=0.2)
    assert error.kind == "timeout"


def test_a_connection_that_was_closed_or_idle_for_long_is_not_reused(monkeypatch):
    closing = Peer([LENGTH], [LENGTH], closes=True)

    async def with_a_pause(peer):
        async with listening(peer) as port:
            endpoint = endpoint_at(f"http://127.0.0.1:{port}")
            await endpoint.complete(b"", 5.0)
            await asyncio.sleep(0.1)
            return (await endpoint.complete(b"", 5.0)).text

    assert asyncio.run(with_a_pause(closing)) == "hello"
    keeping = Peer([LENGTH], [LENGTH])
    monkeypatch.setattr(session, "KEEPALIVE_SECONDS", 0.05)
    asyncio.run(with_a_pause(keeping))
    assert closing.connections == keeping.connections == 2


# --- TLS ------------------------------------------------------------------------------------------------


@pytest.fixture
def tls(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))


async def ask_twice(url):
    endpoint = endpoint_at(url)
    return [(await endpoint.complete(b"{}", 5.0)).text, (await endpoint.complete(b"{}", 5.0)).text]


def test_a_server_with_a_trusted_certificate_is_asked_over_tls(tls, trusted):
    async def ask(peer):
        async with listening(peer, tls) as port:
            return await ask_twice(f"https://localhost:{port}/v1")

    peer = Peer([LENGTH], [LENGTH])
    assert asyncio.run(ask(peer)) == ["hello", "hello"]
    assert peer.connections == 1


def test_an_untrusted_certificate_is_a_failed_connection_that_says_where_to_put_the_authority(tls):
    async def ask():
        async with listening(Peer([LENGTH]), tls) as port:
            await ask_twice(f"https://localhost:{port}")

    with pytest.raises(
        JudgeError, match=r"CERTIFICATE_VERIFY_FAILED.*set ca_file or the environment variable SSL_CERT_FILE"
    ) as raised:
        asyncio.run(ask())
    assert raised.value.kind == "connection"


# --- proxies --------------------------------------------------------------------------------------------


@pytest.fixture
def set_proxy(monkeypatch):
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return lambda scheme, proxy: monkeypatch.setenv(f"{scheme}_proxy", proxy)


def test_a_proxy_is_asked_for_the_whole_url(set_proxy):
    async def ask(peer):
        async with listening(peer) as port:
            set_proxy("http", f"http://me:pass%20word@127.0.0.1:{port}")
            return await ask_twice("http://judge.example:8000/v1")

    peer = Peer([LENGTH], [LENGTH])
    assert asyncio.run(ask(peer)) == ["hello", "hello"]
    lines = peer.requests[0][0].decode().split("\r\n")
    assert lines[:2] == [
        "POST http://judge.example:8000/v1/chat/completions HTTP/1.1",
        "Host: judge.example:8000",
    ]
    assert "Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk" in lines


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:{}/v1", "http://localhost:{}/v1"])
def test_this_machine_is_asked_without_a_proxy(set_proxy, base_url):
    set_proxy("http", "http://127.0.0.1:9")

    async def ask():
        async with listening(Peer([LENGTH], [LENGTH])) as port:
            return await ask_twice(base_url.format(port))

    assert asyncio.run(ask()) == ["hello", "hello"]


def test_verls_router_is_asked_without_a_proxy(set_proxy):
    set_proxy("http", "socks5://proxy.example:9")  # refused wherever a proxy applies
    config = EndpointConfig(base_url="http://10.0.0.1:8000/v1")
    Endpoint(config, use_proxy=False)
    with pytest.raises(ConfigError, match="socks5"):
        Endpoint(config)


def test_no_proxy_of_the_environment_is_honored(set_proxy, monkeypatch):
    set_proxy("http", "socks5://proxy.example:9")
    monkeypatch.setenv("no_proxy", "judge.example")
    endpoint_at("http://judge.example/v1")


def test_credentials_of_netrc_are_not_sent(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    peer = Peer([LENGTH])
    run(peer, b"")
    assert b"uthorization" not in peer.requests[0][0]


def tunnel_to(heads):
    """A proxy that records the head of each request, and connects to the requested port of this machine."""

    async def tunnel(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head.decode())
        port = int(head.split()[1].rpartition(b":")[2])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def copy(source, target):
            with contextlib.suppress(ConnectionError), contextlib.closing(target):
                while data := await source.read(4096):
                    target.write(data)

        await asyncio.gather(copy(reader, back), copy(there, writer))

    return tunnel


def test_tls_passes_through_the_tunnel_of_a_proxy(tls, trusted, set_proxy):
    heads = []

    async def ask(peer):
        async with listening(peer, tls) as port, listening(tunnel_to(heads)) as proxy:
            set_proxy("https", f"http://me:password@127.0.0.1:{proxy}")
            return port, await ask_twice(f"https://judge.example:{port}/v1")

    peer = Peer([LENGTH], [LENGTH])
    port, texts = asyncio.run(ask(peer))
    assert texts == ["hello", "hello"]
    assert len(heads) == 1
    assert heads[0].startswith(f"CONNECT judge.example:{port} HTTP/1.1\r\n")
    assert "Proxy-Authorization" in heads[0]
    assert "Proxy-Authorization" not in peer.requests[0][0].decode()


def test_a_tunnel_that_closes_without_a_response_is_a_failed_connection(tls, trusted, set_proxy):
    async def ask():
        async with listening(Peer([], closes=True), tls) as port, listening(tunnel_to([])) as proxy:
            set_proxy("https", f"127.0.0.1:{proxy}")
            await ask_twice(f"https://judge.example:{port}")

    with pytest.raises(JudgeError) as raised:
        asyncio.run(ask())
    assert raised.value.kind == "connection"


def test_a_proxy_that_refuses_is_a_failed_connection_that_shows_no_password(set_proxy):
    async def ask():
        async with listening(Peer([b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"])) as port:
            set_proxy("https", f"http://me:password@127.0.0.1:{port}")
            await ask_twice("https://judge.example/v1")

    with pytest.raises(JudgeError, match=r"the proxy 127.0.0.1:\d+ answered with HTTP 403") as raised:
        asyncio.run(ask())
    assert raised.value.kind == "connection"
    assert "password" not in str(raised.value)


# --- event loops ----------------------------------------------------------------------------------------


def test_the_session_of_a_closed_loop_is_forgotten():
    async def ask(endpoint, peer):
        async with listening(peer) as port:
            endpoint.config = EndpointConfig(base_url=f"http://127.0.0.1:{port}", model="judge")
            await endpoint.complete(b"", 5.0)

    endpoint = endpoint_at("http://127.0.0.1:9")
    for _ in range(3):
        asyncio.run(ask(endpoint, Peer([LENGTH])))
        assert not endpoint._sessions._by_loop
