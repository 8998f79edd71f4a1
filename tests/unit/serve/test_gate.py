"""What stands before the application: limits, deadlines, the token, and errors without insides."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from hanmo.core.errors import UserError
from hanmo.serve.app import _shared_with, _tell_problems
from hanmo.serve.gate import Gate
from hanmo.serve.limits import Limits
from hanmo.serve.metrics import Metrics
from hanmo.serve.problems import Problem

Headers = Iterable[tuple[bytes, bytes]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def gate(inner: Any = echo, token: str | None = None, **limits: Any) -> Gate:
    return Gate(inner, limits=Limits(**limits), metrics=Metrics(), token=token)


def ask(
    made: Gate,
    *chunks: bytes,
    path: str = "/models/m/classify",
    headers: Headers = (),
    method: str = "POST",
    late: float = 0.0,
) -> tuple[int, dict[str, str], bytes]:
    return asyncio.run(request(made, *chunks, path=path, headers=headers, method=method, late=late))


async def request(
    made: Gate,
    *chunks: bytes,
    path: str = "/models/m/classify",
    headers: Headers = (),
    method: str = "POST",
    late: float = 0.0,
) -> tuple[int, dict[str, str], bytes]:
    """Send a request as an ASGI server does: status, headers, body."""
    waiting = list(chunks) or [b""]
    sent: list[Any] = []

    async def receive() -> Any:
        if late:
            await asyncio.sleep(late)
        if not waiting:
            await asyncio.Event().wait()  # a client that waits for its answer says nothing
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": list(headers)}
    await made(scope, receive, send)
    start, *rest = sent
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(one["body"] for one in rest)


def refusal(body: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(body)["error"]
    return error


def test_a_request_passes_whole_with_an_id_of_its_own() -> None:
    made = gate()
    status, headers, body = ask(made, b"ab", b"", b"c")
    assert (status, body) == (200, b"abc")
    other = ask(made, b"x")[1]["x-request-id"]
    assert len(headers["x-request-id"]) == 32
    assert headers["x-request-id"] != other
    named = ask(made, b"", headers=[(b"x-request-id", b"job-7.a")])[1]
    assert named["x-request-id"] == "job-7.a"
    for bad in (b"a b", b"x" * 65, b"\r\nSet-Cookie: x", "号".encode()):
        assert ask(made, b"", headers=[(b"x-request-id", bad)])[1]["x-request-id"] != bad.decode()


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"11")], [(b"content-length", b"1")]])
def test_too_large_a_body_is_refused_however_it_comes(headers: Headers) -> None:
    made = gate(body_bytes=10)
    status, found, body = ask(made, b"123456", b"78901", headers=headers)
    assert status == 413
    assert refusal(body)["code"] == "body_too_large"
    assert "10 bytes" in refusal(body)["message"]
    assert found["connection"] == "close"
    assert ask(made, b"12345", b"67890")[0] == 200
    endless = [b"x" * 100] * 1000  # cut off long before its end
    assert ask(made, *endless)[0] == 413
    assert made.active == 0


def test_a_body_that_does_not_come_and_an_answer_that_takes_too_long() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(5)

    status, _, body = ask(gate(seconds=0.05), b"a", late=1)
    assert (status, refusal(body)["code"]) == (408, "body_timeout")
    status, _, body = ask(gate(slow, seconds=0.05), b"a")
    assert (status, refusal(body)["code"]) == (504, "timeout")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (b"", 401),
        (b"Bearer", 401),
        (b"Bearer 0123456789abcde", 401),
        (b"Basic 0123456789abcdef", 401),
        (b"Bearer 0123456789abcdef0", 401),
        ("Bearer 号".encode(), 401),
        (b"Bearer 0123456789abcdef", 200),
        (b"bearer  0123456789abcdef", 200),
    ],
)
def test_a_token_is_asked_for(given: bytes, status: int) -> None:
    made = gate(token="0123456789abcdef")
    headers = [(b"authorization", given)] if given else []
    got, found, _ = ask(made, b"", headers=headers)
    assert got == status
    assert (found.get("www-authenticate") == "Bearer") == (status == 401)
    assert ask(made, b"", path="/metrics", method="GET", headers=headers)[0] == status
    for path in ("/health", "/ready", "/", "/docs"):
        assert ask(made, b"", path=path, method="GET")[0] == 200


def test_a_stopping_server_answers_what_it_has_and_refuses_what_comes() -> None:
    async def run() -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        async def waits(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            await go.wait()
            await echo(scope, receive, send)

        made = gate(waits)
        first = asyncio.create_task(request(made, b"one"))
        await entered.wait()
        made.draining = True
        status, headers, body = await request(made, b"two")
        assert (status, refusal(body)["code"]) == (503, "draining")
        assert headers["retry-after"].isdigit()
        go.set()
        assert (await first)[::2] == (200, b"one")
        assert (await request(made, b"", path="/health", method="GET"))[0] == 200

    asyncio.run(run())


def test_a_refused_request_is_answered_once_its_body_is_here() -> None:
    """A connection closed under a body that is on its way is reset, and the answer with it."""

    async def run() -> None:
        made = gate(body_bytes=10, seconds=0.2)
        made.draining = True
        taken = 0

        def body(*chunks: bytes | None) -> Any:
            nonlocal taken
            taken = 0

            async def receive() -> Any:
                nonlocal taken
                if taken >= len(chunks):
                    return {"type": "http.disconnect"}
                chunk = chunks[taken]
                if chunk is None:  # the client sends no more
                    await asyncio.Event().wait()
                taken += 1
                return {"type": "http.request", "body": chunk, "more_body": taken < len(chunks)}

            return receive

        async def status(receive: Any) -> int | None:
            sent: list[Any] = []

            async def send(message: Any) -> None:
                sent.append(message)

            scope = {"type": "http", "path": "/models/m/classify", "method": "POST", "headers": []}
            await made(scope, receive, send)
            return sent[0]["status"] if sent else None

        assert await status(body(b"1234", b"5678", b"")) == 503
        assert taken == 3  # all of it
        assert await status(body(*[b"12345"] * 100)) == 503
        assert taken == 3  # no more than a body may have
        assert await status(body(b"1", None)) == 503  # after the deadline
        assert await status(body()) is None  # nobody waits for an answer

    asyncio.run(run())


def test_only_so_many_requests_at_a_time() -> None:
    async def run() -> None:
        entered, go = asyncio.Event(), asyncio.Event()

        async def waits(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            await go.wait()
            await echo(scope, receive, send)

        made = gate(waits, requests=1)
        first = asyncio.create_task(request(made, b"one"))
        await entered.wait()
        status, headers, body = await request(made, b"two")
        assert (status, refusal(body)["code"]) == (429, "too_many_requests")
        assert headers["retry-after"] == "1"
        go.set()
        assert (await first)[0] == 200
        assert (await request(made, b"three"))[0] == 200

    asyncio.run(run())


def test_a_mistake_of_ours_is_told_without_its_insides(capsys: pytest.CaptureFixture[str]) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("/etc/secret-path")

    made = gate(broken)
    status, headers, body = ask(made, b"")
    assert (status, refusal(body)["code"]) == (500, "internal")
    assert b"secret" not in body
    assert refusal(body)["request_id"] == headers["x-request-id"]
    log = capsys.readouterr().err
    assert "secret-path" in log
    assert headers["x-request-id"] in log
    assert made.active == 0


def test_a_client_that_leaves_and_other_protocols() -> None:
    async def run() -> None:
        made, sent = gate(), []

        async def gone() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": "/", "method": "POST", "headers": []}
        await made(scope, gone, send)
        assert sent == []
        await made({"type": "websocket", "path": "/"}, gone, send)
        assert sent == [{"type": "websocket.close", "code": 1000}]

    asyncio.run(run())


def test_a_client_that_leaves_meanwhile_costs_nothing_more() -> None:
    """What it asked for is given up at once, so that it does not run for nobody."""

    async def run() -> None:
        entered, ended = asyncio.Event(), asyncio.Event()

        async def waits(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        made = gate(waits)
        messages = [{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            if len(messages) == 1:
                await entered.wait()
            return messages.pop(0)

        async def send(message: Any) -> None:
            raise AssertionError("nobody is there")

        scope = {"type": "http", "path": "/models/m/classify", "method": "POST", "headers": []}
        await made(scope, receive, send)
        assert ended.is_set()
        assert made.active == 0
        told = made._metrics.text().decode()
        assert 'hanmo_requests_total{route="none",status="499"} 1.0' in told

    asyncio.run(run())


def test_requests_that_make_no_model_run_take_no_place_and_no_body() -> None:
    async def run() -> None:
        async def never() -> Any:
            raise AssertionError("nobody reads this body")

        made, sent = gate(requests=1), []

        async def send(message: Any) -> None:
            sent.append(message)

        made.active = 1  # a question is being answered
        for path, method in (("/health", "GET"), ("/models/m/classify", "PUT")):
            scope = {"type": "http", "path": path, "method": method, "headers": []}
            await made(scope, never, send)
        assert [one["status"] for one in sent[::2]] == [200, 200]
        assert made.active == 1

    asyncio.run(run())


def through(made: Any, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=made, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(run())


def test_mistakes_inside_the_application_have_the_form_of_all_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    api, measured = FastAPI(), Metrics()
    _tell_problems(api, measured)

    @api.post("/broken")
    async def broken() -> None:
        raise RuntimeError("/etc/secret-path")

    answer = through(Gate(api, limits=Limits(), metrics=measured), "POST", "/broken", {})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    assert "secret-path" in capsys.readouterr().err
    assert 'hanmo_refused_total{code="internal"} 1.0' in measured.text().decode()


def test_pages_of_other_servers_may_ask_with_a_token() -> None:
    """A browser first asks without it whether it may, and reads refusals only if it may."""
    origin = {"Origin": "https://example.org"}
    made = _shared_with(gate(token="t" * 16), ["https://example.org"])
    asks = {"Access-Control-Request-Method": "POST"}
    asks |= {"Access-Control-Request-Headers": "authorization,content-type"}
    first = through(made, "OPTIONS", "/models/m/classify", origin | asks)
    assert first.status_code == 200
    assert first.headers["access-control-allow-origin"] == "https://example.org"
    refused = through(made, "POST", "/models/m/classify", origin)
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://example.org"
    assert "x-request-id" in refused.headers["access-control-expose-headers"].lower()


def test_problems_are_json_in_any_language() -> None:
    told = json.loads(Problem(422, "bad_input", "空\ud800", input=3).body("id"))
    assert told["error"] == {
        "code": "bad_input",
        "message": "空?",
        "input": 3,
        "request_id": "id",
    }


@pytest.mark.parametrize("make", [lambda: Limits(inputs=0), lambda: Limits(seconds=-1)])
def test_limits_are_positive(make: Callable[[], Limits]) -> None:
    with pytest.raises(UserError, match="expected more than 0"):
        make()
