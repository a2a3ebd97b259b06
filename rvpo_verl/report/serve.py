"""The page of a run that is still going, on this machine only: made again whenever its files have changed."""

import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def server(
    make: Callable[[], str], watched: Callable[[], Sequence[Path]], port: int = 0
) -> ThreadingHTTPServer:
    """A server of the page at `/`; the caller runs and closes it.

    Args:
        make: the page.
        watched: files from which it is made.
        port: 0 for any free one.
    """
    lock = threading.Lock()
    made: dict[str, object] = {}

    def page() -> bytes:
        with lock:
            state = [(path, stat.st_mtime_ns, stat.st_size) for path in watched() if (stat := path.stat())]
            if made.get("state") != state:
                made["page"] = make().encode()
                made["state"] = state
            return made["page"]  # type: ignore[return-value]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A page elsewhere that had its own name resolve to this machine must not read the run.
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            if host not in ("localhost", "127.0.0.1"):
                return self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "Open it as http://127.0.0.1")
            if self.path != "/":
                return self.send_error(HTTPStatus.NOT_FOUND)
            body = page()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Frame-Options", "DENY")
            self.end_headers()
            self.wfile.write(body)
            return None

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
