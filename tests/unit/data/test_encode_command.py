"""`hanmo encode`: the same bytes for any number of workers and after a kill; helpful errors."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hanmo.annotate.column_store import read_columns
from hanmo.annotate.sentence import Sentence
from hanmo.annotate.store import write_part
from hanmo.annotate.tagsets import TAGSETS
from hanmo.commands import encode
from hanmo.commands.encode import Config, run
from hanmo.core.artifact import building, read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.urls import as_path
from hanmo.data.documents import join
from hanmo.data.encode import encode_documents
from hanmo.data.shards import ShardSet
from hanmo.text.tokenizer import Tokenizer

CHARACTERS = "天地玄黄宇宙洪荒日月盈昃辰宿列张"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS]
N_PARTS = 4


def random_rows(seed: int) -> list[tuple[str, Sentence]]:
    """Five documents; those of odd parts have no entities."""
    rng = np.random.default_rng(seed)
    rows = []
    for document in range(5):
        for _ in range(rng.integers(1, 6)):
            lengths = rng.integers(1, 4, rng.integers(1, 9))
            text = "".join(rng.choice(list(CHARACTERS), lengths.sum()))
            ends = np.cumsum(lengths).tolist()
            layers = {"pos": tuple(rng.choice(TAGSETS["pos"], len(ends)).tolist())}
            if seed % 2 == 0:
                layers["ner"] = tuple(rng.choice(TAGSETS["ner"], len(ends)).tolist())
            words = tuple(zip([0, *ends], ends, strict=False))
            rows.append((f"{seed}-{document}", Sentence(text, words, layers)))
    return rows


@pytest.fixture
def config(tmp_path: Path) -> Config:
    with building(tmp_path / "sentences", kind="sentences", config={}) as build:
        for number in range(N_PARTS):
            write_part(build.dir / f"part-{number:05d}.parquet", random_rows(number))
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return Config(tmp_path / "sentences", vocab, tmp_path / "shards", shard_pieces=70)


def contents(folder: Path) -> dict[str, bytes]:
    names = sorted(path.name for path in folder.iterdir() if path.name != "manifest.json")
    return {name: (folder / name).read_bytes() for name in names}


def test_shards_hold_the_encoded_parts(config: Config) -> None:
    counts = run(config)
    verify(config.out)
    shards = ShardSet.open(config.out)
    tokenizer = Tokenizer(VOCAB)
    rows = [random_rows(number) for number in range(N_PARTS)]
    parts = [encode_documents(one, tokenizer)[0] for one in rows]
    expected, found = join(parts, ["pos", "ner"]), join(shards.shards, ["pos", "ner"])
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.word_starts, expected.word_starts)
    np.testing.assert_array_equal(found.sentence_starts, expected.sentence_starts)
    np.testing.assert_array_equal(found.document_starts, expected.document_starts)
    for name in ("pos", "ner"):
        np.testing.assert_array_equal(found.layers[name], expected.layers[name])
    assert shards.layers == {name: TAGSETS[name] for name in ("pos", "ner")}
    assert Tokenizer.load(shards.folder).vocab == VOCAB
    sentences = [one for part in rows for _, one in part]
    assert counts == read_manifest(config.out, "shards").counts
    assert counts == {
        "documents": 5 * N_PARTS,
        "sentences": len(sentences),
        "empty_sentences": 0,
        "words": sum(len(one.words) for one in sentences),
        "unaligned_words": 0,
        "pieces": sum(len(one.text) for one in sentences),
        "unknown_pieces": 0,
        "labels_pos": sum(len(one.words) for one in sentences),
        "labels_ner": sum(len(one.words) for one in sentences if "ner" in one.layers),
        "shards": len(shards.shards),
    }
    assert len(shards.shards) > 3


def test_any_number_of_workers_gives_the_same_bytes(config: Config) -> None:
    run(config)
    other = replace(config, out=config.out.with_name("other"), workers=2)
    run(other)
    assert contents(other.out) == contents(config.out)


@pytest.mark.parametrize("stop_at", ["part", "shard"])
def test_an_interrupted_run_is_continued(
    config: Config, monkeypatch: pytest.MonkeyPatch, stop_at: str
) -> None:
    whole = replace(config, out=config.out.with_name("whole"))
    run(whole)
    read: list[str] = []

    def read_and_note(stop: str, path: Path) -> object:
        read.append(path.name)
        if path.name == stop:
            raise KeyboardInterrupt
        return read_columns(path)

    def stop_after_a_shard(self: object, documents: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if stop_at == "part":
            patch.setattr(encode, "read_columns", partial(read_and_note, "part-00002.parquet"))
        else:
            patch.setattr(encode.ShardWriter, "add", stop_after_a_shard)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    assert not config.out.exists()
    read.clear()
    monkeypatch.setattr(encode, "read_columns", partial(read_and_note, "none"))
    assert run(config) == run(whole)
    done = {"part": 2, "shard": N_PARTS}[stop_at]
    assert read == [f"part-{number:05d}.parquet" for number in range(done, N_PARTS)]
    assert contents(config.out) == contents(whole.out)


def test_a_finished_folder_is_left_alone(config: Config) -> None:
    counts = run(config)
    before = (config.out / "manifest.json").stat().st_mtime_ns
    assert run(config) == counts
    assert (config.out / "manifest.json").stat().st_mtime_ns == before


def test_entities_may_be_spread_over_pieces(config: Config) -> None:
    run(config)
    spread = replace(config, out=config.out.with_name("spread"), ner_level="char")
    run(spread)
    words, pieces = (ShardSet.open(one.out) for one in (config, spread))
    ner = [join(one.shards, ["ner"]).layers["ner"] for one in (words, pieces)]
    assert (ner[0] != ner[1]).any()
    np.testing.assert_array_equal(ner[0] == -1, ner[1] == -1)
    np.testing.assert_array_equal(ner[0] == 0, ner[1] == 0)


def test_a_folder_with_a_vocabulary_will_do(config: Config) -> None:
    counts = run(replace(config, vocab=config.vocab.parent))
    assert counts["unknown_pieces"] == 0


def test_a_folder_with_a_tokenizer_json_alone_will_do(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "model"  # as transformers 5 saves one
    folder.mkdir()
    Tokenizer(VOCAB).save(folder)
    (folder / "vocab.txt").unlink()
    run(replace(config, vocab=folder))
    run(replace(config, out=tmp_path / "other"))
    assert contents(config.out) == contents(tmp_path / "other")


def test_user_errors(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="shard_pieces: got 0; expected 1 or more"):
        run(replace(config, shard_pieces=0))
    with pytest.raises(UserError, match=r"no such vocabulary"):
        run(replace(config, vocab=tmp_path / "absent.txt"))
    with pytest.raises(UserError, match="no such folder"):
        run(replace(config, sentences=tmp_path / "absent"))
    with building(tmp_path / "empty", kind="sentences", config={}) as build:
        write_part(build.dir / "part-00000.parquet", [("a", Sentence(" ", (), {}))])
    with pytest.raises(UserError, match="no sentences with text in it"):
        run(replace(config, sentences=tmp_path / "empty"))


def test_a_part_that_changed_is_refused(config: Config) -> None:
    path = config.sentences / "part-00002.parquet"
    write_part(path, random_rows(9))
    with pytest.raises(UserError, match=r"part-00002\.parquet: .* make the folder again"):
        run(config)


def test_a_vocabulary_that_does_not_fit_is_told(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    run(config)
    assert "[UNK]" not in capsys.readouterr().err
    config.vocab.write_text("\n".join(VOCAB[:8]) + "\n", encoding="utf-8")
    counts = run(replace(config, out=config.out.with_name("other")))
    share = counts["unknown_pieces"] / counts["pieces"]
    assert f"{share:.0%} of the pieces are [UNK]" in capsys.readouterr().err


def test_nothing_to_encode_leaves_the_way_free(config: Config) -> None:
    with building(config.sentences.with_name("empty"), kind="sentences", config={}) as build:
        write_part(build.dir / "part-00000.parquet", [("a", Sentence("\u200b", (), {}))])
    with pytest.raises(UserError, match="nothing to encode"):
        run(replace(config, sentences=config.sentences.with_name("empty")))
    assert run(config)["documents"] == 5 * N_PARTS


@pytest.mark.parametrize(
    ("name", "told"),
    [("nowhere", "nowhere: no such folder"), ("corpus", "kind 'corpus'; expected 'sentences'")],
)
def test_what_is_wrong_with_the_input_is_told_where_a_url_is_made(
    name: str, told: str, config: Config
) -> None:
    with building(config.sentences.with_name("corpus"), kind="corpus", config={}) as build:
        (build.dir / "part-00000.jsonl.zst").write_bytes(b"")
    given = config.sentences.with_name(name)
    with pytest.raises(UserError, match=told):
        run(replace(config, sentences=given, out=as_path("memory://place/shards")))
