"""A served model, asked by real clients: the answers of predict, clear refusals, nothing lost."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from hanmo.commands.predict import Config, run
from process_cases import hanmo
from serve_cases import (
    LABELS,
    Running,
    serving,
    start,
    write_classifier,
    write_lert,
    write_reader,
    write_tagger,
)
from training_cases import CHARACTERS, TINY

EXACT = ("--engine", "torch", "--precision", "fp32")
TEXT = "".join(CHARACTERS[:9])
MASKED = f"{CHARACTERS[2]}[MASK][MASK]{CHARACTERS[5]}"
QUESTIONS: dict[str, tuple[str, list[Any]]] = {
    "lert": ("fill-mask", [MASKED, {"id": "a", "text": f"[MASK]{CHARACTERS[1]}"}]),
    "lert ": ("tags", [MASKED]),
    "lert  ": ("embed", [TEXT]),
    "reviews": ("classify", [TEXT, {"id": 7, "text_a": CHARACTERS[4]}]),
    "pairs": ("classify", [{"text_a": TEXT, "text_b": CHARACTERS[3]}, f"{TEXT}\t{CHARACTERS[8]}"]),
    "ner": ("entities", ["".join(CHARACTERS[:60]) * 3]),
    "reader": ("answer", [{"question": CHARACTERS[1], "context": "".join(CHARACTERS[:90])}]),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {
        "lert": write_lert(base / "lert"),
        "reviews": write_classifier(base / "reviews"),
        "pairs": write_classifier(base / "pairs", pair=True),
        "ner": write_tagger(base / "ner"),
        "reader": write_reader(base / "reader"),
    }


@pytest.fixture(scope="module")
def server(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(log, *(f"{n}={folder}" for n, folder in folders.items()), *EXACT) as running:
        yield running


def refused(response: httpx.Response, status: int, code: str) -> str:
    assert response.status_code == status
    error = response.json()["error"]
    assert error["code"] == code
    assert error["request_id"] == response.headers["x-request-id"]
    for inside in ("/work", "/tmp", "/root", "Traceback", ".py"):
        assert inside not in response.text
    return str(error["message"])


def works(server: Running) -> None:
    """The next request is answered."""
    response = server.post("/models/lert/fill-mask", {"inputs": [MASKED], "top_k": 1})
    assert response.status_code == 200
    assert response.json()["answers"][0]["text"] == MASKED


def assert_same(one: Any, other: Any) -> None:
    """Compare answers; their numbers to the digits that batches of other sizes share."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
    else:
        assert one == other


def test_answers_are_those_of_predict(server: Running, folders: dict[str, Path]) -> None:
    for name, (kind, inputs) in QUESTIONS.items():
        response = server.post(f"/models/{name.strip()}/{kind}", {"inputs": inputs, "top_k": 3})
        assert response.status_code == 200, response.text
        told = response.json()
        assert (told["model"], told["kind"], told["engine"]) == (name.strip(), kind, "torch fp32")
        for given, answer in zip(inputs, told["answers"], strict=True):
            fields = given if isinstance(given, dict) else {}
            assert answer.pop("id", None) == fields.get("id")
            texts = [value for key, value in fields.items() if key != "id"]
            asked = Config(
                model=folders[name.strip()], kind=kind, text=texts or [str(given)], top_k=3
            )
            expected = run(asked)
            assert expected is not None
            if texts or "\t" not in str(given):
                assert_same(answer, expected["answer"])


def test_models_tell_what_they_take(server: Running) -> None:
    models = {one["name"]: one for one in server.get("/models").json()["models"]}
    assert list(models["lert"]["kinds"]) == ["fill-mask", "tags", "embed"]
    assert models["pairs"]["kinds"]["classify"]["fields"] == ["text_a", "text_b"]
    assert models["pairs"]["labels"] == list(LABELS)
    assert models["pairs"]["task"] == "toy"
    assert server.get("/models/reviews").json() == models["reviews"]
    assert "no model 'rewiews'; did you mean 'reviews'" in refused(
        server.get("/models/rewiews"), 404, "not_found"
    )
    schema = server.get("/openapi.json").json()
    options = schema["components"]["schemas"]["LertTagsRequest"]["properties"]
    assert set(options) == {"inputs", "top_k", "mask_words"}  # an annotator may name a file
    words = server.post(
        "/models/lert/tags", {"inputs": [TEXT], "mask_words": True, "top_k": 1}
    ).json()["answers"][0]["words"]
    assert "".join(word["word"] for word in words) == TEXT
    assert "annotator" in words[0]


LONG = "".join(CHARACTERS[:50]) * 3
BAD: list[tuple[str, Any, int, str, str]] = [
    ("lert/fill-mask", {"inputs": [""]}, 422, "bad_input", "empty text"),
    ("lert/fill-mask", {"inputs": ["\u200b\u200d"]}, 422, "bad_input", "no [MASK]"),
    ("lert/fill-mask", {"inputs": [MASKED, TEXT]}, 422, "bad_input", "no [MASK]"),
    ("lert/fill-mask", {"inputs": [LONG + "[MASK]"]}, 422, "bad_input", "this model takes 64"),
    ("lert/fill-mask", {"inputs": ["字" * 20_001]}, 422, "invalid_request", "at most 20000"),
    ("lert/fill-mask", {"inputs": []}, 422, "invalid_request", "at least 1 item"),
    ("lert/fill-mask", {"inputs": [MASKED] * 129}, 422, "invalid_request", "at most 128"),
    ("lert/fill-mask", {"inputs": [MASKED], "top_k": 51}, 422, "invalid_request", "top_k"),
    ("lert/fill-mask", {"inputs": [MASKED], "beam": 0}, 422, "bad_option", "--beam"),
    ("lert/embed", {"inputs": [TEXT], "last_layers": 9}, 422, "bad_option", "has 2 layers"),
    ("lert/fill-mask", {"inputs": [MASKED], "beem": 1}, 422, "invalid_request", "beem"),
    ("lert/fill-mask", {"inputs": [3]}, 422, "invalid_request", "inputs.0"),
    ("lert/fill-mask", {"inputs": [{"txt": "x"}]}, 422, "invalid_request", "inputs.0"),
    ("lert/fill-mask", {"inputs": ["[MASK]" * 40] * 2, "beam": 64}, 422, "too_much_work", "pieces"),
    ("lert/fill-mask", {"inputs": ["[MASK]"], "beam": 65}, 422, "invalid_request", "beam"),
    (
        "lert/fill-mask",
        {"inputs": ["[WORD]"], "mask_length": "1" * 5000},
        422,
        "bad_option",
        "--mask-length",
    ),
    ("lert/fill-mask", [], 422, "invalid_request", "body"),
    ("lert/tags", {"inputs": [MASKED], "annotator": "x.py"}, 422, "invalid_request", "annotator"),
    ("pairs/classify", {"inputs": [TEXT]}, 422, "bad_input", "this model takes text_a and text_b"),
    ("lert/classify", {"inputs": [TEXT]}, 404, "not_found", "no route"),
    ("nobody/classify", {"inputs": [TEXT]}, 404, "not_found", "no route"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: f"{case[0]}: {case[4]}")
def test_what_cannot_be_answered_says_why(
    server: Running, case: tuple[str, Any, int, str, str]
) -> None:
    path, body, status, code, message = case
    response = server.post(f"/models/{path}", body)
    assert message in refused(response, status, code)
    if code == "bad_input":
        assert response.json()["error"]["input"] == len(body["inputs"]) - 1
    works(server)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "invalid_request"),
        (b"{", 422, "invalid_request"),
        (b'{"inputs": ["\xff\xfe"]}', 422, "invalid_request"),
        (b'{"inputs": ["\\ud800[MASK]"]}', 422, "invalid_request"),
        (b"[" * 100_000, 422, "invalid_request"),
        (b'{"inputs": ["' + b"a" * 10_000_000 + b'"]}', 413, "body_too_large"),
        (b'{"inputs": ["[MASK]"], "inputs": 3}', 422, "invalid_request"),
        (b'{"inputs": [NaN]}', 422, "invalid_request"),
    ],
)
def test_bodies_that_are_no_question(
    server: Running, content: bytes, status: int, code: str
) -> None:
    response = server.post(
        "/models/lert/fill-mask", content=content, headers={"Content-Type": "application/json"}
    )
    refused(response, status, code)
    works(server)


def test_strange_characters_are_text_like_any_other(server: Running) -> None:
    for strange in ("\u0000", "\u200b", "\u202e", "\ufeff", "\U0001f600", "\r\n", "\x1b[31m", "é"):
        text = f"{CHARACTERS[1]}{strange}[MASK]{strange}"
        response = server.post("/models/lert/fill-mask", {"inputs": [text]})
        assert response.status_code == 200, (strange, response.text)
        assert response.json()["answers"][0]["text"] == text
    assert server.post("/models/lert/fill-mask", {"inputs": []}).status_code == 422
    assert server.get("/models/lert/fill-mask").status_code == 405
    assert refused(server.get("/nothing"), 404, "not_found")


def test_nothing_is_lost_or_mixed_up_at_overload(folders: dict[str, Path], tmp_path: Path) -> None:
    """Far more than the queue holds: every answer is the question's own, every refusal says so."""
    rows = ["".join(CHARACTERS[(n * 7 + k) % 150] for k in range(1 + n % 40)) for n in range(400)]
    alone: dict[str, Any] = {}
    with serving(tmp_path / "log", folders["reviews"], *EXACT, "--waiting", 300) as server:
        for row in rows[:40]:
            [answer] = server.post("/models/reviews/classify", {"inputs": [row]}).json()["answers"]
            alone[row] = answer["labels"]
        counts: dict[int, int] = {}
        lock = threading.Lock()

        def client(number: int) -> None:
            with httpx.Client(timeout=60) as session:
                for row in rows[number::16] * 3:
                    response = session.post(
                        f"{server.url}/models/reviews/classify", json={"inputs": [row]}
                    )
                    with lock:
                        counts[response.status_code] = counts.get(response.status_code, 0) + 1
                    if response.status_code == 200:
                        [answer] = response.json()["answers"]
                        assert answer["text"] == row
                        if row in alone:
                            for one, other in zip(answer["labels"], alone[row], strict=True):
                                assert one["label"] == other["label"]
                                assert one["probability"] == pytest.approx(
                                    other["probability"], abs=2e-5
                                )
                    else:
                        assert response.status_code == 429
                        assert int(response.headers["retry-after"]) >= 1

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(client, range(16)))
        assert sum(counts.values()) == 1200
        assert counts[200] >= 200
        assert server.figure("hanmo_waiting_pieces") == 0
        assert server.figure("hanmo_active_requests") == 0
        answered = server.figure('hanmo_inputs_total{kind="classify",model="reviews"}')
        assert answered == counts[200] + len(alone)
        assert server.get("/ready").status_code == 200


def test_sigterm_answers_what_was_accepted(folders: dict[str, Path], tmp_path: Path) -> None:
    running = start(tmp_path / "log", folders["lert"], *EXACT, "--drain", "1")
    # Many masked words: a second or so of work.
    body = {"inputs": [f"[MASK][MASK][MASK]{c}" for c in CHARACTERS[:100]], "beam": 16}
    try:
        with ThreadPoolExecutor(4) as pool, httpx.Client(timeout=60) as kept:
            kept.get(f"{running.url}/ready")  # a connection that stays open
            futures = [pool.submit(running.post, "/models/lert/fill-mask", body) for _ in range(4)]
            while running.figure("hanmo_active_requests") < 4:
                time.sleep(0.01)
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            assert kept.get(f"{running.url}/ready").status_code == 503
            late = kept.post(f"{running.url}/models/lert/fill-mask", json=body)
            assert refused(late, 503, "draining")
            for future in futures:
                response = future.result()
                assert response.status_code == 200
                assert len(response.json()["answers"]) == 100
        assert running.process.wait(timeout=30) == 0
        assert "all accepted requests were answered" in running.log.read_text()
    finally:
        running.stop(signal.SIGKILL)


def test_a_killed_server_starts_again_on_its_port(folders: dict[str, Path], tmp_path: Path) -> None:
    first = start(tmp_path / "one", folders["lert"], *EXACT)
    port = int(first.url.rsplit(":", 1)[1])
    works(first)
    first.stop(signal.SIGKILL)
    with serving(tmp_path / "two", folders["lert"], *EXACT, port=port) as second:
        assert second.url == first.url
        works(second)


def test_a_token_from_a_file_is_asked_for(folders: dict[str, Path], tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("0123456789abcdef\n")
    with serving(tmp_path / "log", folders["lert"], *EXACT, "--token-file", secret) as server:
        assert refused(server.post("/models/lert/embed", {"inputs": [TEXT]}), 401, "unauthorized")
        headers = {"Authorization": "Bearer 0123456789abcdef"}
        found = server.post("/models/lert/embed", {"inputs": [TEXT]}, headers=headers)
        assert found.status_code == 200
        assert "0123456789abcdef" not in server.log.read_text()
        # No other page may ask, unless it is named.
        asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
        preflight = httpx.options(f"{server.url}/models/lert/embed", headers=asked)
        assert "access-control-allow-origin" not in preflight.headers


def test_mistakes_on_the_command_line_are_told(folders: dict[str, Path], tmp_path: Path) -> None:
    import subprocess

    def said(*words: object) -> str:
        command = hanmo("serve", *words)
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        return done.stderr

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--port {port}: Address already in use" in said(folders["lert"], "--port", port)
    assert "no model folder" in said(tmp_path)
    assert "name them" in said(folders["lert"], folders["lert"])
    assert "no name for a URL" in said(f"a/b={folders['lert']}")
    assert "expected more than 0" in said(folders["lert"], "--seconds", 0)
    short = tmp_path / "short"
    short.write_text("abc")
    assert "expected 16 or more" in said(folders["lert"], "--token-file", short)
    assert TINY.max_position_embeddings == 64
