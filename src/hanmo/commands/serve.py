"""Serve models over HTTP: answers with dynamic batching, figures for Prometheus, a page for people.

In: model folders, each perhaps with a name for its URLs. Out: a server on HOST:PORT; its page is at
/, its interface in words at /docs, and a question goes to /models/NAME/KIND:

    hanmo serve work/lert reviews=work/reviews-onnx --engine auto
    curl localhost:8000/models/reviews/classify -H 'Content-Type: application/json' \
        -d '{"inputs": ["味道很好，下次还来。"]}'

SIGTERM and Ctrl-C stop it gracefully: what was accepted is answered, what comes then gets 503. The
token is read from the environment (HANMO_TOKEN) or a file, so that it stands in no list of
processes.
"""

import contextlib
import math
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from hanmo import box
from hanmo.core.errors import MissingLibraryError, UserError
from hanmo.core.log import say
from hanmo.predict._how import EngineName, How, Precision
from hanmo.serve.limits import DEFAULT, Limits

AFTER_STOP = "the same command begins anew"
_TOKEN = "HANMO_TOKEN"
_LEAST_TOKEN = 16  # characters


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo serve`.

    Attributes:
        models: Model folders, or NAME=FOLDER; a run's folder is named by its task and seed.
        host: Address to listen on: 127.0.0.1 for this machine alone, 0.0.0.0 for others too.
        port: Port to listen on; 0 takes a free one.
        engine: What runs the models: "torch", "onnx" (folders of `hanmo export`), or "auto": the
            fastest here of what a folder has.
        precision: Of torch: "fp32", "bf16", or "auto": bf16 where it is faster.
        batch_tokens: Pieces of a batch; more answers more texts a second, each of them later.
        threads: CPU threads of a model; default: all cores.
        body_bytes: Largest body of a request.
        inputs: Inputs of a request at most.
        characters: Characters of a text at most.
        work: Pieces that one request may make a model run.
        waiting: Pieces that may wait in all; what comes then is told to come later (429).
        requests: Requests at a time.
        seconds: Time for a request.
        drain: Seconds in which a server that SIGTERM stops still says 503 to new requests, so that
            balancers see it.
        token_file: File with the bearer token that requests need; default: HANMO_TOKEN, or none.
        origins: Web pages of other servers that may ask (CORS), such as https://example.org.
    """

    models: list[str] = field(default_factory=list[str], metadata={"positional": True})
    host: str = "127.0.0.1"
    port: int = 8000
    engine: EngineName = "auto"
    precision: Precision = "auto"
    batch_tokens: int = 2048
    threads: int | None = None
    body_bytes: int = DEFAULT.body_bytes
    inputs: int = DEFAULT.inputs
    characters: int = DEFAULT.characters
    work: int = DEFAULT.work
    waiting: int = DEFAULT.waiting
    requests: int = DEFAULT.requests
    seconds: float = DEFAULT.seconds
    drain: float = 1.0
    token_file: Path | None = None
    origins: list[str] | None = None


def run(config: Config) -> None:
    """Serve until a signal comes.

    Raises:
        UserError: bad settings, a folder that is no model, or an address that is taken.
        MissingLibraryError: the libraries of the extra `serve` are not installed.
    """
    _check(config)
    token = _token(config)
    _import()
    import asyncio
    import socket

    from hanmo.serve import models
    from hanmo.serve.app import Settings, make_server
    from hanmo.train.devices import prepare

    limits = Limits(
        body_bytes=config.body_bytes,
        inputs=config.inputs,
        characters=config.characters,
        work=config.work,
        waiting=config.waiting,
        requests=config.requests,
        seconds=config.seconds,
    )
    settings = Settings(limits, config.batch_tokens, token, tuple(config.origins or ()))
    named = models.named(_named(config))
    # Before the models are loaded, so that a port that is taken is told at once.
    listening = _listen(config, socket)
    prepare(config.precision, threads=config.threads)
    server = make_server(named, How(config.engine, config.precision), settings)
    for model in server.models.values():
        say(f"serve: {model.name}: {', '.join(model.kinds)} ({model.engine})")
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    guarded = "with a token" if token else "without a token"
    say(f"serve: http://{shown}:{port} {guarded}; Ctrl-C stops it")
    given_up = asyncio.run(_serve(server, listening, config))
    if given_up:
        say(f"serve: stopped; {given_up:,} requests were given up")
        sys.stderr.flush()
        os._exit(1)  # else Python waits for the thread that runs the model
    say("serve: stopped; all accepted requests were answered")


async def _serve(server: Any, listening: Any, config: Config) -> int:
    """Serve until a signal comes; returns how many requests were given up."""
    import asyncio

    import uvicorn

    class Stopping(uvicorn.Server):
        """A server whose end comes in two steps, and which leaves no signal behind."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            before = {one: signal.signal(one, self.handle_exit) for one in _SIGNALS}
            try:
                yield
            finally:
                for one, handler in before.items():
                    signal.signal(one, handler)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if server.gate.draining:  # a second one does not wait
                self.force_exit = self.should_exit = True
                return
            server.gate.draining = True
            seconds = config.drain if sig == signal.SIGTERM else 0.0
            loop.call_soon_threadsafe(loop.call_later, seconds, self._end)
            with contextlib.suppress(OSError):  # nobody reads what is told
                say(f"serve: stopping; {server.gate.active:,} requests are being answered")

        def _end(self) -> None:
            self.should_exit = True

    loop = asyncio.get_running_loop()
    settings = uvicorn.Config(
        server.app,
        http="h11",  # whose headers have a largest size, whatever else is installed
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_keep_alive=30,
        # A request may take as long for its body, and as long again for its answer.
        timeout_graceful_shutdown=max(1, math.ceil(2 * config.seconds)),
    )
    stopping = Stopping(settings)
    try:
        await stopping.serve(sockets=[listening])
        return int(server.gate.active)
    finally:
        await server.batcher.stop()  # a second signal leaves it running


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _listen(config: Config, socket: Any) -> Any:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((config.host, config.port))
    except (OSError, OverflowError) as error:
        made.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"--host {config.host} --port {config.port}: {reason}; take another port, or 0 for a "
            "free one"
        ) from None
    return made


def _named(config: Config) -> list[str]:
    """Return the models that are named, or else the one that comes with hanmo.

    Raises:
        UserError: neither.
    """
    if config.models:
        return config.models
    model = box.folder()
    if model is None:
        raise UserError("serve: MODEL missing; name the folders of models to serve")
    return [f"{box.NAME}={model}"]


def _check(config: Config) -> None:
    if not 0 <= config.port <= 65_535:
        raise UserError(f"--port: got {config.port}; expected 0 to 65535")
    if config.batch_tokens < 1:
        raise UserError(f"--batch-tokens: got {config.batch_tokens}; expected 1 or more")
    if config.drain < 0:
        raise UserError(f"--drain: got {config.drain:g}; expected 0 or more")


def _token(config: Config) -> str | None:
    where, token = _TOKEN, os.environ.get(_TOKEN)
    if config.token_file is not None:
        where = str(config.token_file)
        try:
            token = config.token_file.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"{where}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UserError(f"{where}: not UTF-8; expected a token of ASCII characters") from None
    if token is None:
        return None
    token = token.strip()  # as that of a request is
    if len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{where}: a token of {len(token)} characters; expected {_LEAST_TOKEN} or more ASCII "
            'characters, such as those of python -c "import secrets; print(secrets.token_hex())"'
        )
    return token


def _import() -> None:
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(
            f"hanmo serve needs {error.name}: pip install 'hanmo[serve]'"
        ) from None
