"""Looking at the sample on its way: before it is annotated, annotated, encoded; as a user does."""

import json
from pathlib import Path

import pytest

from hanmo import cli, samples
from hanmo.commands import train_vocab

Output = pytest.CaptureFixture[str]


def said(capsys: Output, *words: str) -> str:
    """Run a command line and return what it printed."""
    capsys.readouterr()
    assert cli.main(list(words)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_the_sample_is_looked_at(tmp_path: Path, capsys: Output) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for path in sorted((samples.folder() / "text").glob("a0[1-4].txt")):
        (texts / path.name).write_bytes(path.read_bytes())
    corpus, sentences, shards = (str(tmp_path / name) for name in ("corpus", "sentences", "shards"))
    vocab = str(tmp_path / "vocab.txt")
    said(capsys, "prepare", str(texts), "--out", corpus)
    documents = json.loads(said(capsys, "inspect", corpus, "--json", "--first", "2"))
    assert [one["document"] for one in documents["documents"]] == ["a01-0", "a01-1"]
    assert documents["statistics"]["counts"]["documents"] == documents["stage_counts"]["kept"]

    before = sorted(path.name for path in tmp_path.iterdir())
    sample = said(capsys, "annotate", corpus, "--annotator", "jieba", "--sample", "3")
    assert "\x1b" not in sample
    assert "3 sentences by jieba; under the words: pos" in sample
    assert "characters a second in one process" in sample
    assert "characters: about " in sample
    assert sorted(path.name for path in tmp_path.iterdir()) == before  # nothing was written
    made = json.loads(
        said(capsys, "annotate", corpus, "--annotator", "jieba", "--sample", "3", "--json")
    )
    assert made["characters"] == documents["stage_counts"]["characters"]
    assert made["characters_per_second"] > 0
    shown = [one["text"] for one in made["sentences"]]

    said(capsys, "annotate", corpus, "--annotator", "jieba", "--out", sentences)
    train_vocab.run(train_vocab.Config([Path(corpus)], Path(vocab), size=1500))
    said(capsys, "encode", sentences, "--vocab", vocab, "--out", shards)
    for text in shown:  # the sample's sentences are those of the run
        found = json.loads(
            said(capsys, "inspect", sentences, "--find", text, "--show", "documents", "--json")
        )
        first = found["documents"][0]["shown"][0]
        assert first in [{"text": one["text"], "words": one["words"]} for one in made["sentences"]]
    page = tmp_path / "look.html"
    words = ("inspect", shards, "--max-length", "64", "--mlm.unit", "piece", "--html", str(page))
    text = said(capsys, *words)
    assert text.splitlines()[0].startswith("document 0  ")
    assert "sequence 0 as mlm makes it  seed 1, epoch 0" in text
    assert "[MASK]" in text
    assert page.read_text(encoding="utf-8").count("<svg") == 4  # pos and three lengths
