"""The helpers in `inspection_cases.py` are importable from every test of this folder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from inspection_cases import DOCUMENTS, VOCAB, write_sentences

from hanmo.commands import encode


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tests run in says nothing of colours."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sentences of three parts, their vocabulary, and two small shards of them."""
    root = tmp_path_factory.mktemp("looked-at")
    vocab = root / "vocab.txt"
    vocab.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    sentences = write_sentences(root / "sentences", DOCUMENTS)
    encode.run(encode.Config(sentences, vocab, root / "shards", shard_pieces=60))
    return {"sentences": sentences, "vocab": vocab, "shards": root / "shards"}
