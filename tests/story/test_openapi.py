"""Requests made up from the served description, fit and unfit: never a mistake of the server."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_cases import Running, serving, write_classifier, write_lert, write_reader

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed"
)
# What the description promises: no 5xx; statuses, media types and bodies as it says.
PROMISED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    base = tmp_path_factory.mktemp("fuzz")
    models = [
        write_lert(base / "lert"),
        write_classifier(base / "pairs", pair=True),
        write_reader(base / "reader"),
    ]
    # Some made-up bodies never come; five seconds are enough to wait for them.
    exact = ("--engine", "torch", "--precision", "fp32", "--seconds", 5)
    with serving(base / "log", *models, *exact) as running:
        yield running


def test_no_request_breaks_the_server(server: Running, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            *(str(program), "run", f"{server.url}/openapi.json", "--no-color"),
            *("--checks", ",".join(PROMISED), "--max-examples", "40", "--seed", "1"),
            *("--phases", "examples,coverage,fuzzing", "--generation-database", "none"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert server.get("/ready").status_code == 200
    assert "Traceback" not in server.log.read_text()
    asked = [
        float(line.rsplit(" ", 1)[1])
        for line in server.get("/metrics").text.splitlines()
        if line.startswith("hanmo_requests_total") and "/models/" in line
    ]
    assert sum(asked) > 300
