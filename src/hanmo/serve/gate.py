"""The way into the server: request ids, the token, limits, draining, deadlines, and what is told.

A plain ASGI layer around the application. It reads a request's body itself, so that too large a one
or one that never comes is refused before anything else happens, and it turns every error into a
`Problem`: clients see neither traces nor paths, the log has them under the request's id.
"""

import asyncio
import contextlib
import hmac
import re
import sys
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from hanmo.serve.limits import Limits
from hanmo.serve.metrics import Metrics
from hanmo.serve.problems import Problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

HEALTH, READY, METRICS = "/health", "/ready", "/metrics"
_OPEN = (HEALTH, READY)  # routes without a token: balancers ask them
_PUBLIC = ("/", "/docs", "/openapi.json", "/favicon.ico")  # pages that hold no answers
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_DISCARDED = 32  # times the largest body that are read of one that is larger
_LINGER = 2.0  # seconds that the body of a refused request may take to come
MISTAKE = "the server made a mistake; its log says which"
_WORK = "POST"  # the method of requests that make a model run


class Gate:
    """What stands before the application.

    Args:
        inner: the application.
        limits: of the server.
        metrics: where figures go.
        token: bearer token that requests need, if any.
    """

    def __init__(
        self, inner: Application, *, limits: Limits, metrics: Metrics, token: str | None = None
    ) -> None:
        self._inner, self._limits, self._metrics = inner, limits, metrics
        self._token = token.encode() if token else None
        self.draining = False
        self.active = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one connection's request, or pass the server's own messages on."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:  # no web sockets here
            await send({"type": "websocket.close", "code": 1000})

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        begin = time.perf_counter()
        status = 500
        started = False

        async def tell(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._check(scope, headers, receive)
            if scope["method"] == _WORK:
                with self._counted():
                    body = await self._body(headers, receive)
                    async with asyncio.timeout(self._limits.seconds):
                        await self._answer(scope, body, receive, tell)
            else:  # no other method has a body that anybody reads
                async with asyncio.timeout(self._limits.seconds):
                    await self._inner(scope, _replayed(b"", receive), tell)
        except Problem as problem:
            self._metrics.refused.labels(problem.code).inc()
            await _refuse(problem, request_id, tell, started=started)
        except TimeoutError:
            late = Problem(
                504,
                "timeout",
                f"no answer within {self._limits.seconds:g} s; ask for less at a time, or later",
            )
            self._metrics.refused.labels(late.code).inc()
            await _refuse(late, request_id, tell, started=started)
        except _GoneError:
            status = 499  # as nginx counts clients that went away
        except Exception:  # noqa: BLE001 - whatever it is, the server goes on
            sys.stderr.write(f"hanmo: request {request_id} failed\n{traceback.format_exc()}")
            await _refuse(Problem(500, "internal", MISTAKE), request_id, tell, started=started)
        finally:
            route = _route(scope)
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begin)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self.active += 1
        self._metrics.active.inc()
        try:
            yield
        finally:
            self.active -= 1
            self._metrics.active.dec()

    async def _answer(self, scope: Message, body: bytes, receive: Receive, tell: Send) -> None:
        """Let the application answer for as long as somebody waits for it.

        Raises:
            _GoneError: the client went away.
        """
        left = asyncio.ensure_future(_departure(receive))
        inner = asyncio.ensure_future(self._inner(scope, _replayed(body, _wait(left)), tell))
        try:
            await asyncio.wait({inner, left}, return_when=asyncio.FIRST_COMPLETED)
            if not inner.done():
                raise _GoneError
            await inner
        finally:
            for task in (inner, left):
                task.cancel()
            await asyncio.gather(inner, left, return_exceptions=True)

    async def _check(
        self, scope: Message, headers: MutableMapping[bytes, bytes], receive: Receive
    ) -> None:
        """Refuse what may not come in, once its body is here.

        A connection that is closed while a body is on its way is reset, and then the client loses
        the answer too.

        Raises:
            Problem: 401, 429, 503.
            _GoneError: the client went away.
        """
        try:
            self._admit(scope, headers)
        except Problem:
            if scope["method"] == _WORK:
                await self._discard(receive)
            raise

    async def _discard(self, receive: Receive) -> None:
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(_LINGER, self._limits.seconds)):
                async for chunk in _chunks(receive):
                    size += len(chunk)
                    if size > self._limits.body_bytes:
                        break

    def _admit(self, scope: Message, headers: MutableMapping[bytes, bytes]) -> None:
        """Look at what a request says of itself.

        Raises:
            Problem: 401, 429, 503.
        """
        path, works = scope["path"], scope["method"] == _WORK
        if self._token is not None and path not in (*_OPEN, *_PUBLIC):
            kind, _, given = headers.get(b"authorization", b"").partition(b" ")
            if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                raise Problem(
                    401,
                    "unauthorized",
                    "no token, or a wrong one; expected the header Authorization: Bearer TOKEN",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        if works and self.draining:
            raise Problem(
                503,
                "draining",
                "the server is stopping; ask another one, or this one when it is back",
                headers={"Retry-After": "5", "Connection": "close"},
            )
        if works and self.active >= self._limits.requests:
            raise Problem(
                429,
                "too_many_requests",
                f"{self._limits.requests} requests are being answered, the most at a time",
                headers={"Retry-After": "1"},
            )

    async def _body(self, headers: MutableMapping[bytes, bytes], receive: Receive) -> bytes:
        """Read the whole body.

        Raises:
            Problem: 408, 413.
        """
        most = self._limits.body_bytes
        stated = headers.get(b"content-length", b"0")
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.seconds):
                async for chunk in _chunks(receive):
                    size += len(chunk)
                    # What is too large is read to its end and thrown away, for most clients look
                    # for an answer only then; what is far too large is cut off.
                    if size <= most:
                        chunks.append(chunk)
                    elif size > _DISCARDED * most:
                        break
        except TimeoutError:
            raise Problem(
                408,
                "body_timeout",
                f"the body did not come within {self._limits.seconds:g} s",
                headers={"Connection": "close"},
            ) from None
        if size > most or (stated.isdigit() and int(stated) > most):
            raise Problem(
                413,
                "body_too_large",
                f"the body has more than {most:,} bytes, the most of a request; send it in parts",
                headers={"Connection": "close"},
            )
        return b"".join(chunks)


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _departure(receive: Receive) -> Message:
    """Wait until the client goes away."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message


def _wait(left: "asyncio.Future[Message]") -> Receive:
    async def receive() -> Message:
        return await asyncio.shield(left)

    return receive


class _GoneError(Exception):
    """The client went away."""


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give the application a body that was read already, then the client's leaving."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _refuse(problem: Problem, request_id: str, send: Send, *, started: bool) -> None:
    if started:  # half an answer cannot be taken back
        return
    body = problem.body(request_id)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _route(scope: Message) -> str:
    """Name a request's route for the figures: never by what a client made up."""
    return str(getattr(scope.get("route"), "path", "none"))
