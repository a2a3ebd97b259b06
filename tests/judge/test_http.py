"""The client against servers that send bytes as they are told, over TCP, TLS and through proxies."""

import asyncio
import contextlib
import ssl
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvpo_verl.judge import connection, http
from rvpo_verl.judge.http import Server

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"
)
TO_THE_END = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"
AFTER_OTHERS = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + LENGTH


class Peer:
    """Reads a request, writes the next of its answers in the given pieces, and goes on unless it closes."""

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


async def ask(server, body=b"{}", timeout=5.0):
    return await server.request("POST", "/ask", {"X": "y"}, body, timeout)


def run(peer, *bodies, timeout=5.0):
    """Answers, or what was raised, to one request after the other."""

    async def all_of_them():
        async with listening(peer) as port:
            server, outcomes = Server(f"http://127.0.0.1:{port}/v1"), []
            for body in bodies:
                try:
                    outcomes.append(await ask(server, body, timeout))
                except OSError as error:
                    outcomes.append(error)
            return outcomes

    return asyncio.run(all_of_them())


# --- answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [LENGTH, CHUNKED, TO_THE_END, AFTER_OTHERS])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(whole, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    (answer,) = run(Peer(pieces, closes=whole is TO_THE_END), b"")
    assert (answer.status, answer.content) == (200, b"hello")
    assert "link" not in answer.headers


def test_a_request_is_sent_as_it_should_be():
    peer = Peer([LENGTH])
    run(peer, '{"text": "ü"}'.encode())
    ((head, body),) = peer.requests
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/ask HTTP/1.1"
    assert lines[1].startswith("Host: 127.0.0.1:")
    assert {"Content-Length: 14", "X: y"} <= set(lines)
    assert body == '{"text": "ü"}'.encode()


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        ([b"nonsense\r\n\r\n"], False),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"], True),  # cut off
        ([b"HTTP/1.1 200 OK\r\nContent-Length: no\r\n\r\n"], False),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], False),
        ([], True),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"], True),  # and nothing after it
    ],
)
def test_what_is_no_answer_is_a_failed_connection(answer, closes):
    (outcome,) = run(Peer(answer, closes=closes), b"")
    assert isinstance(outcome, ConnectionError)


def test_nobody_listens_is_a_failed_connection():
    async def nobody():
        async with listening(Peer()) as port:
            pass
        await ask(Server(f"http://127.0.0.1:{port}"))

    with pytest.raises(ConnectionError):
        asyncio.run(nobody())


# --- connections ----------------------------------------------------------------------------------------


def test_a_connection_is_used_again():
    peer = Peer([LENGTH], [CHUNKED], [LENGTH])
    assert [answer.content for answer in run(peer, b"1", b"2", b"3")] == [b"hello"] * 3
    assert peer.connections == 1
    assert [body for _, body in peer.requests] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "first", [[LENGTH.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")], [LENGTH, LENGTH]]
)
def test_a_connection_that_cannot_be_trusted_is_not(first):
    peer = Peer(first, [LENGTH.replace(b"hello", b"other")])
    assert [answer.content for answer in run(peer, b"1", b"2")] == [b"hello", b"other"]
    assert peer.connections == 2


def test_a_late_answer_goes_to_nobody():
    peer = Peer([0.3, LENGTH], [0.3, LENGTH], [0.6, LENGTH.replace(b"hello", b"other")])

    async def times_out_is_cancelled_and_asks_again():
        async with listening(peer) as port:
            server = Server(f"http://127.0.0.1:{port}")
            with pytest.raises(TimeoutError):
                await ask(server, timeout=0.1)
            task = asyncio.ensure_future(ask(server))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            return (await ask(server)).content

    assert asyncio.run(times_out_is_cancelled_and_asks_again()) == b"other"


def test_an_answer_that_trickles_in_times_out():
    pieces = [piece for byte in LENGTH[:-1] for piece in (bytes([byte]), 0.01)]
    (outcome,) = run(Peer(pieces), b"", timeout=0.2)
    assert isinstance(outcome, TimeoutError)


def test_what_the_server_closed_or_was_unused_for_long_is_not_used_again(monkeypatch):
    closing = Peer([LENGTH], [LENGTH], closes=True)

    async def with_a_pause(peer):
        async with listening(peer) as port:
            server = Server(f"http://127.0.0.1:{port}")
            await ask(server)
            await asyncio.sleep(0.1)
            return await ask(server)

    assert asyncio.run(with_a_pause(closing)).content == b"hello"
    keeping = Peer([LENGTH], [LENGTH])
    monkeypatch.setattr(http, "KEPT_SECONDS", 0.05)
    asyncio.run(with_a_pause(keeping))
    assert closing.connections == keeping.connections == 2


# --- TLS and proxies ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    try:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture
def tls(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
def trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    connection.tls.cache_clear()
    yield
    connection.tls.cache_clear()


async def ask_twice(url):
    server = Server(url)
    return [(await ask(server)).content, (await ask(server)).content]


def test_tls_is_spoken_with_whoever_has_a_certificate(tls, trusted):
    async def trusting(peer):
        async with listening(peer, tls) as port:
            return await ask_twice(f"https://localhost:{port}/v1")

    peer = Peer([LENGTH], [LENGTH])
    assert asyncio.run(trusting(peer)) == [b"hello", b"hello"]
    assert peer.connections == 1


def test_a_certificate_that_is_not_trusted_is_a_failed_connection(tls):
    async def distrusting():
        async with listening(Peer([LENGTH]), tls) as port:
            await ask(Server(f"https://localhost:{port}"))

    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        asyncio.run(distrusting())


@pytest.fixture
def through(monkeypatch):
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def through(kind, proxy):
        monkeypatch.setenv(f"{kind}_proxy", proxy)

    return through


def test_a_proxy_is_asked_for_the_whole_url(through):
    async def ask_it(peer):
        async with listening(peer) as port:
            through("http", f"http://me:pass%20word@127.0.0.1:{port}")
            return await ask_twice("http://judge.example:8000/v1")

    peer = Peer([LENGTH], [LENGTH])
    assert asyncio.run(ask_it(peer)) == [b"hello", b"hello"]
    lines = peer.requests[0][0].decode().split("\r\n")
    assert lines[:2] == ["POST http://judge.example:8000/v1/ask HTTP/1.1", "Host: judge.example:8000"]
    assert "Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk" in lines


def tunnel_to(heads):
    """A proxy that keeps the heads of what it is asked."""

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


def test_tls_goes_through_a_proxys_tunnel(tls, trusted, through):
    heads = []

    async def ask_it(peer):
        async with listening(peer, tls) as port, listening(tunnel_to(heads)) as proxy:
            through("https", f"http://me:password@127.0.0.1:{proxy}")
            return port, await ask_twice(f"https://localhost:{port}/v1")

    peer = Peer([LENGTH], [LENGTH])
    port, answers = asyncio.run(ask_it(peer))
    assert answers == [b"hello", b"hello"]
    assert len(heads) == 1
    assert heads[0].startswith(f"CONNECT localhost:{port} HTTP/1.1\r\n")
    assert "Proxy-Authorization" in heads[0]
    assert "Proxy-Authorization" not in peer.requests[0][0].decode()


def test_a_tunnel_that_closes_without_an_answer_is_a_failed_connection(tls, trusted, through):
    async def ask_it():
        async with listening(Peer([], closes=True), tls) as port, listening(tunnel_to([])) as proxy:
            through("https", f"127.0.0.1:{proxy}")
            await ask(Server(f"https://localhost:{port}"))

    with pytest.raises(ConnectionError):
        asyncio.run(ask_it())


def test_a_proxy_that_refuses_is_a_failed_connection(through):
    async def ask_it():
        async with listening(Peer([b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"])) as port:
            through("https", f"127.0.0.1:{port}")
            await ask(Server("https://judge.example/v1"))

    with pytest.raises(ConnectionError, match="HTTP 403"):
        asyncio.run(ask_it())


def test_a_proxy_is_left_out_where_the_environment_says_so_and_refused_if_it_is_none(through, monkeypatch):
    through("http", "socks5://127.0.0.1:9")
    with pytest.raises(ValueError, match="socks5"):
        Server("http://judge.example/v1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert run(Peer([LENGTH]), b"")[0].content == b"hello"
