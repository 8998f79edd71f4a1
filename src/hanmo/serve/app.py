"""The application: a route for every model and kind of answer, what the server says of itself.

    server = make_server({"reviews": Path("work/reviews-onnx")}, How(engine="auto"), Settings())

Routes: POST /models/MODEL/KIND; GET /models, /models/MODEL, /health, /ready, /metrics and
/openapi.json; the page at /, the interface in words at /docs, without resources from elsewhere.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from hanmo import __version__
from hanmo.core.errors import UserError, nearest
from hanmo.predict._how import How
from hanmo.serve import metrics as figures
from hanmo.serve import schemas
from hanmo.serve.batcher import Asked, Batcher
from hanmo.serve.gate import HEALTH, METRICS, MISTAKE, READY, Gate
from hanmo.serve.limits import DEFAULT, Limits
from hanmo.serve.metrics import Metrics
from hanmo.serve.models import Key, Served, open_models
from hanmo.serve.problems import Problem

_ASIDE = 500  # characters from which reading texts may not hold up other requests
_MOST_LOADING = 8  # questions of a model with options of their own, being prepared
_SCHEMA = "Input"  # how the names of schemas of inputs end
_CODES: Mapping[int, str] = {404: "not_found", 405: "method_not_allowed"}
_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Failure, "description": text}
    for status, text in {
        401: "no token, or a wrong one",
        404: "no such model or kind",
        408: "the body did not come in time",
        413: "the body is too large",
        422: "an input that cannot be answered, or a request that is not as described",
        429: "too much waits already; Retry-After says when to come again",
        500: "a mistake of the server",
        503: "the server is stopping",
        504: "no answer in time",
    }.items()
}


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How a server answers.

    Attributes:
        limits: what it takes at most.
        batch_tokens: pieces of a batch.
        token: bearer token that requests need.
        origins: web pages of other servers that may ask (CORS).
    """

    limits: Limits = DEFAULT
    batch_tokens: int = 2048
    token: str | None = None
    origins: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """An application, ready to be run by an ASGI server.

    Attributes:
        app: the application with all that stands before it.
        gate: what counts and refuses.
        batcher: runs the models.
        api: inside; its `openapi()` describes the routes.
        models: what is served.
    """

    app: Any
    gate: Gate
    batcher: Batcher
    api: FastAPI
    models: Mapping[str, Served]


def make_server(named: Mapping[str, Path], how: How, settings: Settings) -> Server:
    """Load models and build the application.

    Args:
        named: name → model folder.
        how: the models are run.
        settings: of the server.

    Raises:
        UserError: a folder that is no model.
    """
    measured = Metrics()
    served = open_models(named, how)
    batcher = Batcher(
        budget=settings.batch_tokens, waiting=settings.limits.waiting, metrics=measured
    )

    @contextlib.asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        yield
        await batcher.stop()

    api = FastAPI(
        title="hanmo",
        version=__version__,
        description="Chinese encoders: " + ", ".join(served),
        docs_url=None,
        redoc_url=None,
        lifespan=running,
    )
    gate = Gate(api, limits=settings.limits, metrics=measured, token=settings.token)
    _tell_problems(api, measured)
    _add_own_routes(api, served, measured, gate)
    for model in served.values():
        for kind in model.kinds:
            _add_question(api, model, kind, batcher, settings.limits)
    return Server(_shared_with(gate, settings.origins), gate, batcher, api, served)


def _shared_with(gate: Gate, origins: Sequence[str]) -> Any:
    """Let pages of other servers ask: before the gate, since browsers first ask without a token."""
    if not origins:
        return gate
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        gate,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        expose_headers=["X-Request-ID", "Retry-After"],
    )


def _add_question(api: FastAPI, model: Served, kind: str, batcher: Batcher, limits: Limits) -> None:
    """Add the route of one kind of answer of one model."""
    made = schemas.request_of(model.name, kind, model.kinds[kind].predictor, limits)

    async def answer(request: made) -> dict[str, Any]:  # type: ignore[valid-type]
        given: Any = request
        options = {name: getattr(given, name) for name in type(given).model_fields}
        inputs, top_k = options.pop("inputs"), options.pop("top_k")
        options = {k: one.strip() if isinstance(one, str) else one for k, one in options.items()}
        asked = await _asked(model, Key(kind, top_k, tuple(sorted(options.items()))), batcher)
        rows = [one if isinstance(one, str) else _row(one) for one in inputs]
        if asked.predictor.reads_slowly or sum(len(str(row)) for row in rows) > _ASIDE:
            queries, costs = await batcher.aside(lambda: _read(asked, rows, limits))
        else:
            queries, costs = _read(asked, rows, limits)
        answers = await batcher.ask(asked, queries, costs)
        told = [
            {"id": row["id"], **one} if isinstance(row, dict) and "id" in row else one
            for row, one in zip(rows, answers, strict=True)
        ]
        return {
            "model": model.name,
            "kind": kind,
            "engine": asked.predictor.engine,
            "answers": told,
        }

    api.add_api_route(
        f"/models/{model.name}/{kind}",
        answer,
        methods=["POST"],
        name=f"{model.name} {kind}",
        summary=f"Ask {model.name} for {kind}.",
        tags=[model.name],
        response_model=schemas.Answers,
        responses=_FAILURES,
    )


async def _asked(model: Served, key: Key, batcher: Batcher) -> Asked:
    """Return the predictor with a request's options; a new one is loaded aside."""
    found = model.find(key)
    if found is None:
        loading = model.loading.get(key)
        if loading is None:
            if len(model.loading) >= _MOST_LOADING:
                raise Problem(
                    429,
                    "too_many_requests",
                    "too many questions with options of their own are being prepared",
                    headers={"Retry-After": "1"},
                )
            loading = asyncio.ensure_future(batcher.aside(lambda: model.load(key)))
            model.loading[key] = loading
            loading.add_done_callback(lambda done: _loaded(model, key, done))
        try:
            # Others may wait for it too when this request is given up.
            found = await asyncio.shield(loading)
        except UserError as error:
            # Messages for people at the machine may name the folder; clients know the model's name.
            message = str(error).replace(str(model.folder), model.name)
            raise Problem(422, "bad_option", message) from None
    return found


def _loaded(model: Served, key: Key, done: "asyncio.Future[Asked]") -> None:
    model.loading.pop(key, None)
    if not done.cancelled() and done.exception() is None:
        model.keep(key, done.result())


def _row(one: BaseModel) -> dict[str, Any]:
    return one.model_dump(exclude_none=True)


def _read(
    asked: Asked, rows: Sequence[str | Mapping[str, Any]], limits: Limits
) -> tuple[list[Any], list[int]]:
    """Read a request's inputs: queries and their costs.

    Raises:
        Problem: 422, with the number of the bad input.
    """
    queries, costs = [], []
    for number, row in enumerate(rows):
        try:
            queries.append(asked.predictor.query(row))
        except UserError as error:
            raise Problem(422, "bad_input", str(error), input=number) from None
        costs.append(asked.predictor.cost(queries[-1]))
        if sum(costs) > limits.work:
            raise Problem(
                422,
                "too_much_work",
                f"inputs 0 to {number} make the model run {sum(costs):,} pieces; a request may "
                f"have {limits.work:,}; send fewer or shorter inputs, or fewer [MASK]s in a word",
                input=number,
            )
    return queries, costs


def _add_own_routes(
    api: FastAPI, served: Mapping[str, Served], measured: Metrics, gate: Gate
) -> None:
    """Add what the server says of itself."""
    told = {name: model.told() for name, model in served.items()}
    pages = resources.files("hanmo.serve") / "page"

    @api.get(HEALTH, response_model=schemas.State, tags=["server"])
    async def health() -> dict[str, str]:
        """Say that the server lives."""
        return {"status": "ok"}

    @api.get(
        READY,
        response_model=schemas.State,
        tags=["server"],
        responses={503: {"model": schemas.State, "description": "the server is stopping"}},
    )
    async def ready() -> Response:
        """Say whether the server takes requests: 503 while it is stopping."""
        status = "draining" if gate.draining else "ready"
        return JSONResponse({"status": status}, status_code=503 if gate.draining else 200)

    @api.get("/models", response_model=schemas.Models, tags=["server"])
    async def models() -> dict[str, Any]:
        """List the models, their kinds of answers, fields and labels."""
        return {"models": list(told.values())}

    @api.get(
        "/models/{name}",
        response_model=schemas.Model,
        tags=["server"],
        responses={404: {"model": schemas.Failure, "description": "no such model"}},
    )
    async def model(name: str) -> dict[str, Any]:
        """Describe a model."""
        if name not in told:
            raise Problem(404, "not_found", f"no model {name!r}{nearest(name, told)}")
        return told[name]

    @api.get(METRICS, include_in_schema=False)
    async def metrics() -> Response:
        return Response(measured.text(), media_type=figures.CONTENT_TYPE)

    for path, name in (("/", "index.html"), ("/docs", "docs.html")):
        api.add_api_route(
            path, _page(pages.joinpath(name).read_text(encoding="utf-8")), include_in_schema=False
        )


def _page(text: str) -> Any:
    # Nothing from elsewhere may run in the page, nor may another page show it in a frame.
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}

    async def page() -> HTMLResponse:
        return HTMLResponse(text, headers=headers)

    return page


def _tell_problems(api: FastAPI, measured: Metrics) -> None:
    """Give every error the one form."""

    @api.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        measured.refused.labels(error.code).inc()
        return Response(
            error.body(request.state.request_id),
            status_code=error.status,
            headers=error.headers,
            media_type="application/json",
        )

    @api.exception_handler(Exception)
    async def mistake(request: Request, error: Exception) -> Response:
        return await problem(request, Problem(500, "internal", MISTAKE))  # the gate logs it

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return await problem(request, _invalid(error))

    @api.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        status, message = error.status_code, str(error.detail)
        if status == 400:  # a body that is no UTF-8, or nested too deep
            status, message = 422, "the body is not JSON in UTF-8"
        if status == 404:
            known = [route.path for route in api.routes if hasattr(route, "path")]
            path = request.url.path
            message = f"no route {path!r}{nearest(path, known)}"
        code = _CODES.get(status, "invalid_request")
        return await problem(
            request, Problem(status, code, message, headers=dict(error.headers or {}))
        )


def _invalid(error: RequestValidationError) -> Problem:
    """Say what is wrong with a request; what stands there may be anything, so it is not told."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        place = first["loc"][-1]
        return Problem(422, "invalid_request", f"not JSON: {first['ctx']['error']} at {place}")
    # A union's errors also name its member, which no client knows.
    names = [part for part in first["loc"][1:] if isinstance(part, int) or part.isidentifier()]
    names = [part for part in names if not str(part).endswith(_SCHEMA)]
    numbers = [part for part in names if isinstance(part, int)]
    facts: dict[str, Any] = {"input": numbers[0]} if numbers and names[0] == "inputs" else {}
    where = ".".join(map(str, names)) or "body"
    return Problem(422, "invalid_request", f"{where}: {first['msg']}", **facts)
