"""The stages on S3, as moto serves it here; needs `pip install 'hanmo[s3]' 'moto[server]'`."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("s3fs", reason="s3fs is not installed (extra hanmo[s3])")
pytest.importorskip("moto.server", reason="moto is not installed (pip install 'moto[server]')")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of processes that see a store with the bucket "corpora"."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    keys = {"FSSPEC_S3_KEY": "anything", "FSSPEC_S3_SECRET": "anything"}
    places = {"FSSPEC_S3_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1"}
    folder = tmp_path_factory.mktemp("machine")
    environment = {**os.environ, **keys, **places, "HANMO_REMOTE": str(folder)}
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert time.monotonic() < deadline, "no server"
            time.sleep(0.1)
    store(environment, "store.mkdir('corpora')")
    yield environment
    server.terminate()
    server.wait()


def store(environment: dict[str, str], action: str) -> Any:
    """Do something to the store in a process of its own: s3fs keeps a thread and sockets."""
    program = f"import json, fsspec\nstore = fsspec.filesystem('s3')\nprint(json.dumps({action}))"
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(found.stdout)


def hanmo(environment: dict[str, str], *words: object) -> tuple[int, str]:
    command = [sys.executable, "-m", "hanmo", *map(str, words)]
    found = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    return found.returncode, found.stdout + found.stderr


def test_the_bytes_of_a_local_run(s3: dict[str, str], tmp_path: Path) -> None:
    (raw := tmp_path / "raw").mkdir()
    letters = "今天去北京看书然后回家吃饭"
    for number in range(3):
        lines = [letters[i % 9 :] * (i % 7 + 3) + str(i * number) + "。" for i in range(90)]
        (raw / f"文 [{number}].txt").write_text("\n\n".join(lines), encoding="utf-8")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(letters))]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    for path in [*raw.iterdir(), tmp_path / "vocab.txt"]:
        put = f"store.put_file({str(path)!r}, 'corpora/in/{path.relative_to(tmp_path)}')"
        store(s3, put)
    for source, base in ((tmp_path, tmp_path / "work"), ("s3://corpora/in", "s3://corpora/work")):
        for words in (
            ("prepare", f"{source}/raw", "--out", f"{base}/corpus", "--part-chars", 2000),
            ("annotate", f"{base}/corpus", "--out", f"{base}/said", "--annotator", "jieba"),
            ("encode", f"{base}/said", "--vocab", f"{source}/vocab.txt", "--out", f"{base}/shards"),
        ):
            code, told = hanmo(s3, *words, "--workers", 2)
            assert code == 0, told
    stored = store(s3, "store.find('corpora/work')")
    names = [name.removeprefix("corpora/work/") for name in stored]
    local = [p for p in sorted((tmp_path / "work").rglob("*")) if p.is_file()]
    assert sorted(names) == sorted(p.relative_to(tmp_path / "work").as_posix() for p in local)
    hexed = store(s3, "{name: store.cat_file(name).hex() for name in store.find('corpora/work')}")
    for path in local:
        far = bytes.fromhex(hexed[f"corpora/work/{path.relative_to(tmp_path / 'work').as_posix()}"])
        if path.name == "manifest.json":
            for key in ("kind", "inputs", "counts", "files"):
                assert json.loads(far)[key] == json.loads(path.read_bytes())[key]
        else:
            assert far == path.read_bytes(), path.name
    code, told = hanmo(s3, "inspect", "s3://corpora/work/shards")
    assert code == 0, told


def test_what_another_machine_wrote_is_seen(s3: dict[str, str]) -> None:
    """s3fs remembers what it listed; the outcomes of tasks elsewhere come later."""
    program = """
        import subprocess, sys
        from hanmo.core import remote
        from hanmo.core.urls import as_path
        folder = as_path("s3://corpora/seen/outcomes")
        for number in range(3):
            write = f"store.pipe_file('corpora/seen/outcomes/{number}', b'{{}}')"
            other = f"import fsspec; store = fsspec.filesystem('s3'); {write}"
            subprocess.run([sys.executable, "-c", other], check=True)
            print(len(remote.children(folder)), len(remote.listing(folder)))
        """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    found = subprocess.run(
        command, env=s3, capture_output=True, text=True, check=False, timeout=240
    )
    assert found.stdout == "1 1\n2 2\n3 3\n", found.stderr


@pytest.mark.parametrize(
    ("change", "url", "message"),
    [
        ({}, "s3://nobody/x", "s3://nobody/x: no such file or folder"),
        ({"FSSPEC_S3_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://corpora/x", "check the address"),
    ],
)
def test_what_cannot_be_reached(
    change: dict[str, str], url: str, message: str, s3: dict[str, str], tmp_path: Path
) -> None:
    code, told = hanmo({**s3, **change}, "prepare", url, "--out", tmp_path / "out")
    assert code == 2, told
    assert told.startswith(f"hanmo: {url}: ")
    assert message in told
    code, told = hanmo({**s3, **change}, "prepare", __file__, "--format", "text", "--out", url)
    assert code == 2, told
    assert f"{url.rpartition('/')[0]}/" in told
