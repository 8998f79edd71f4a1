"""What the tests of downloads share: a server on this machine, and an opener that leads to it."""

import http.server
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hanmo.tasks.download import check_https

CHUNK = 1 << 16


class Server:
    """Serves `files` (path → bytes) with ranges and versions; keeps the requests' headers.

    Attributes:
        files: what it serves.
        version: the ETag of all files.
        ranges: it knows of ranges.
        stop_after: it sends so many bytes of an answer and then nothing, until `go_on` is set.
        seen: the headers of the requests.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.version = '"1"'
        self.ranges = True
        self.stop_after: int | None = None
        self.go_on = threading.Event()
        self.redirect = ""
        self.seen: list[dict[str, str]] = []
        self.port = 0


def _handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.seen.append({key.lower(): value for key, value in self.headers.items()})
            if server.redirect:
                self.send_response(302)
                self.send_header("Location", server.redirect)
                self.end_headers()
                return
            body = server.files.get(urllib.parse.unquote(self.path))
            if body is None:
                self.send_error(404)
                return
            begin = self._begin()
            if begin >= len(body) and begin:
                self.send_error(416)
                return
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(body) - begin))
            if server.version:
                self.send_header("ETag", server.version)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            rest = body[begin:]
            if server.stop_after is not None:
                self.wfile.write(rest[: server.stop_after])
                self.wfile.flush()
                server.go_on.wait(30)
                return
            self.wfile.write(rest)

        def _begin(self) -> int:
            asked = self.headers.get("Range", "")
            same = self.headers.get("If-Range") in (None, server.version)
            if not (server.ranges and same and asked.startswith("bytes=")):
                return 0
            return int(asked.removeprefix("bytes=").partition("-")[0])

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[Server]:
    """A server on 127.0.0.1 for as long as it is needed."""
    server = Server()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as listening:
        server.port = listening.server_port
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            listening.shutdown()
            thread.join()


def leading_to(port: int) -> Callable[[urllib.request.Request, float], Any]:
    """An opener that takes https addresses, as the real one, and asks the local server."""

    def open_url(request: urllib.request.Request, timeout: float) -> Any:
        check_https(request.full_url)
        path = urllib.parse.urlsplit(request.full_url).path
        local = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", headers=dict(request.header_items())
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(local, timeout=timeout)

    return open_url
