"""A scripted judge: an OpenAI-compatible server in a separate process, for tests and benchmarks.

    with scripted_judge(latency=0.05, faults={"timeout": 0.2}) as server:
        ... server.base_url ... server.log() ... server.tell(reply="no JSON")

Verdicts and faults are functions of the question, so that tests can compute them: `verdict_of`, `fault_of`. It
implements only as much HTTP as the clients need, so that it costs little: 0.02 ms per call with `always`.
"""

import asyncio
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from collections import deque
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import IO, Any, ClassVar, cast

FAULTS = ("timeout", "server_error", "rate_limited", "malformed")


@dataclass
class Script:
    latency: float = 0.0
    faults: dict[str, float] = field(default_factory=dict)
    """Share of questions by kind of fault."""
    fault_times: int | None = None
    """How many calls about a question fail; None: all."""
    retry_after: str | None = None
    """Header of HTTP 429."""
    key: str | None = None
    """The only accepted key. Others are repeated in the error, as some servers do."""
    accepts_schema: bool = True
    reply: str | None = None
    """Content of every completion instead of verdicts."""
    finish_reason: str = "stop"
    status: int | None = None
    """HTTP status of every response instead of completions."""
    per_second: int | None = None
    """Calls that are answered within any second; others get HTTP 429."""
    away: tuple[float, float] | None = None
    """Seconds since the first call, from and to which every call gets HTTP 503."""
    refuse: dict[str, list[Any]] = field(default_factory=dict)
    """HTTP status and message for questions that contain a text."""
    hang_after: int | None = None
    """Number of calls after which it no longer answers."""
    model: str = "judge"
    always: str | None = None
    """Content of every completion, without parsing the question or logging the call: for benchmarks."""

    def __post_init__(self) -> None:
        self.plain = None if self.always is None else _http(200, _completion(self.always, "", "stop"))


def digest(question: str) -> int:
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big")


def fault_of(question: str, faults: dict[str, float]) -> str | None:
    point, below = digest("fault " + question) / 2**64, 0.0
    for kind, share in faults.items():
        below += share
        if point < below:
            return kind
    return None


def verdict_of(question: str, name: str, schema: dict[str, Any] | None = None) -> Any:
    number = digest(f"verdict {name} {question}")
    grades = (schema or {}).get("enum")
    return grades[number % len(grades)] if grades else bool(number % 2)


class _Server(asyncio.Protocol):
    script = Script()
    seen: ClassVar[dict[str, int]] = {}
    log: ClassVar[list[dict[str, Any]]] = []
    in_flight = highest = answered = received = limited = 0
    recent: ClassVar[deque[float]] = deque()
    """Times of the calls answered within the last second."""
    first_call: ClassVar[float | None] = None

    def connection_made(self, transport):
        self.transport, self.buffer, self.pending = transport, b"", False

    def connection_lost(self, error):
        self._finish()

    def data_received(self, data):
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        key = next(
            (line.split(": ", 1)[1] for line in lines[1:] if line.lower().startswith("authorization")), None
        )
        self._handle(lines[0].split()[1], rest[:length], key)

    def _handle(self, path, body, key):
        if path == "/script":
            for name, value in json.loads(body).items():
                setattr(_Server.script, name, value)
            return self._send(200, {})
        if path == "/log":
            return self._send(200, {"calls": _Server.log})
        if path == "/counts":
            cls = _Server
            return self._send(
                200,
                {
                    "received": cls.received,
                    "answered": cls.answered,
                    "highest": cls.highest,
                    "limited": cls.limited,
                },
            )
        if _Server.script.key is not None and key != f"Bearer {_Server.script.key}":
            return self._send(401, {"error": {"message": f"Incorrect API key provided: {key}"}})
        if path.endswith("/models"):
            return self._send(200, {"data": [{"id": _Server.script.model}]})
        self.pending = True
        _Server.received += 1
        _Server.in_flight += 1
        _Server.highest = max(_Server.highest, _Server.in_flight)
        loop = asyncio.get_running_loop()
        if _Server.script.latency:
            loop.call_later(_Server.script.latency, self._complete, body)
        else:
            self._complete(body)

    def _overloaded(self, script):
        """Status and content of what the server answers while it is away, or asked too often."""
        cls, now = _Server, time.monotonic()
        cls.first_call = cls.first_call or now
        if script.away and script.away[0] <= now - cls.first_call < script.away[1]:
            return 503, {"error": {"message": "away"}}
        if script.per_second is None:
            return None
        while cls.recent and now - cls.recent[0] >= 1:
            cls.recent.popleft()
        if len(cls.recent) >= script.per_second:
            cls.limited += 1
            return 429, {"error": {"message": "too many"}}, script.retry_after
        cls.recent.append(now)
        return None

    def _finish(self):
        if self.pending:
            self.pending = False
            _Server.in_flight -= 1

    def _complete(self, body):
        script = _Server.script
        if refusal := self._overloaded(script):
            self._finish()
            return self._send(*refusal)
        if script.plain is not None:
            self._finish()
            _Server.answered += 1
            return self.transport.write(script.plain)
        request = json.loads(body)
        question = request["messages"][-1]["content"]
        times = _Server.seen[question] = _Server.seen.get(question, 0) + 1
        fault = fault_of(question, script.faults)
        if script.fault_times is not None and times > script.fault_times:
            fault = None
        if script.hang_after is not None and _Server.answered >= script.hang_after:
            fault = "timeout"
        response_format = request.get("response_format")
        form = response_format or {}
        schema = form.get("json_schema", form).get("schema", {}).get("properties", {"1": {}})
        verdicts = {name: verdict_of(question, name, schema[name]) for name in schema}
        asked = question.partition("Statements about the answer:\n")[2].partition("\n\nWrite exactly")[0]
        _Server.log.append(
            {
                "digest": f"{digest(question):016x}",
                "asked": asked,
                "fault": fault,
                "verdicts": verdicts,
                "schema": response_format is not None,
                "model": request["model"],
            }
        )
        if fault == "timeout":
            return  # until the client gives up
        self._finish()
        if response_format and not script.accepts_schema:
            return self._send(400, {"error": {"message": "response_format is not supported"}})
        for part, (status, message) in script.refuse.items():
            if part in question:
                return self._send(status, {"error": {"message": message}})
        if script.status is not None:
            return self._send(script.status, {"error": {"message": "as scripted"}})
        if fault == "server_error":
            return self._send(503, {"error": {"message": "overloaded"}})
        if fault == "rate_limited":
            return self._send(429, {"error": {"message": "too many"}}, script.retry_after)
        content = json.dumps(verdicts) if script.reply is None else script.reply
        if fault == "malformed":
            content = content[: len(content) // 2]
        _Server.answered += 1
        self._send(200, _completion(content, question, script.finish_reason))

    def _send(self, status, content, retry_after=None):
        self.transport.write(_http(status, content, retry_after))


def _completion(content: str, question: str, finish_reason: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    read, written = len(question) // 4, len(content) // 4
    return {
        "id": "scripted",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }


def _http(status: int, content: Any, retry_after: str | None = None) -> bytes:
    body = json.dumps(content).encode()
    more = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _serve(script: Script) -> None:
    _Server.script = script
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@dataclass
class ScriptedJudge:
    port: int
    process: subprocess.Popen[str]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data, timeout=30) as response:
            return json.load(response)

    def tell(self, **script: Any) -> None:
        self._ask("/script", script)

    def log(self) -> list[dict[str, Any]]:
        """Every call, in the order of the responses."""
        calls: list[dict[str, Any]] = self._ask("/log")["calls"]
        return calls

    def counts(self) -> dict[str, int]:
        """Calls received, calls answered, and the maximum in flight."""
        counts: dict[str, int] = self._ask("/counts")
        return counts


@contextmanager
def scripted_judge(**script: Any):
    arguments = [sys.executable, __file__, json.dumps(asdict(Script(**script)))]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    output = cast(IO[str], process.stdout)  # a pipe, as asked for
    try:
        yield ScriptedJudge(int(output.readline()), process)
    finally:
        process.kill()
        process.wait()
        output.close()


if __name__ == "__main__":
    asyncio.run(_serve(Script(**json.loads(sys.argv[1]))))
