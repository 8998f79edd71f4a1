"""Records against TensorFlow's own readers and writers, and their statistics on real text.

TensorFlow is no dependency of hanmo: what needs it is skipped where it is absent. Feature names,
lengths and types are those of `name_to_features` in run_pretraining.py of google-research/bert,
ymcui/LERT and ymcui/Chinese-ELECTRA (facts/01, 04, 05).
"""

import lzma
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "data"))

from record_cases import decode, originals, record_paths, write_sentences, write_vocabulary

from hanmo.commands import annotate, encode, prepare
from hanmo.core.artifact import read_manifest
from hanmo.data.example import read_example
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet
from hanmo.data.tfrecord import read_records
from hanmo.text.tokenizer import Tokenizer

pytestmark = pytest.mark.parity
LENGTH, MOST = 64, 10
N_LINES = 1500  # of real text


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("parity")
    sentences = write_sentences(work / "sentences", n_documents=30)
    encode.run(encode.Config(sentences, write_vocabulary(work / "vocab.txt"), work / "shards"))
    return work / "shards"


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


def write(shards: Path, out: Path, name: str, **changes: Any) -> list[Path]:
    settings = {"max_length": LENGTH, "files": 3, "dupe_factor": 1 if name == "electra" else 2}
    if name != "electra":
        settings["max_predictions"] = MOST
    settings |= changes
    encode.run(encode.Config(shards, None, out, to="tfrecord", format=name, **settings))
    return record_paths(out)


def upstream_features(tf: Any, name: str) -> dict[str, Any]:
    """`name_to_features` as the scripts have it."""
    features = {
        "input_ids": tf.io.FixedLenFeature([LENGTH], tf.int64),
        "input_mask": tf.io.FixedLenFeature([LENGTH], tf.int64),
        "segment_ids": tf.io.FixedLenFeature([LENGTH], tf.int64),
    }
    if name == "electra":
        return features
    features |= {
        "masked_lm_positions": tf.io.FixedLenFeature([MOST], tf.int64),
        "masked_lm_ids": tf.io.FixedLenFeature([MOST], tf.int64),
        "masked_lm_weights": tf.io.FixedLenFeature([MOST], tf.float32),
    }
    if name == "bert":
        return features | {"next_sentence_labels": tf.io.FixedLenFeature([1], tf.int64)}
    labels = ("pos_labels", "ner_labels", "dep_labels")
    return features | {one: tf.io.FixedLenFeature([MOST], tf.int64) for one in labels}


@pytest.mark.parametrize("name", ["bert", "lert", "electra"])
def test_tensorflow_reads_our_records(tf: Any, shards: Path, tmp_path: Path, name: str) -> None:
    paths = write(shards, tmp_path / "out", name)
    features = upstream_features(tf, name)
    dataset = tf.data.TFRecordDataset([str(path) for path in paths])
    rows = [tf.io.parse_single_example(one, features) for one in dataset]
    ours = decode(paths, name, length=LENGTH, most=MOST)
    assert len(rows) == read_manifest(tmp_path / "out").counts["records"] > 100
    assert ours.keys() == features.keys()
    for key, values in ours.items():
        theirs = np.stack([row[key].numpy() for row in rows])
        assert theirs.dtype == values.dtype
        np.testing.assert_array_equal(theirs, values)


def test_we_read_what_tensorflow_writes(tf: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    made = []
    path = tmp_path / "theirs.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(50):
            ints = rng.integers(-(1 << 63), 1 << 62, rng.integers(0, 40))
            floats = rng.normal(size=rng.integers(0, 9)).astype(np.float32)
            texts = [bytes(rng.integers(0, 256, 5).tolist()) for _ in range(rng.integers(0, 4))]
            example = tf.train.Example()
            example.features.feature["ints"].int64_list.value.extend(ints.tolist())
            example.features.feature["floats"].float_list.value.extend(floats.tolist())
            example.features.feature["texts"].bytes_list.value.extend(texts)
            writer.write(example.SerializeToString())
            made.append((ints, floats, texts))
    found: list[dict[str, Any]] = [read_example(one.data) for one in read_records(path)]
    assert len(found) == len(made)
    for one, (ints, floats, texts) in zip(found, made, strict=True):
        np.testing.assert_array_equal(one["ints"], ints)
        np.testing.assert_array_equal(one["floats"], floats)
        assert list(one["texts"]) == texts


@pytest.mark.parametrize("kind", ["GZIP", ""])
def test_packings_of_tensorflow(tf: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.tfrecord.gz" if kind else "a.tfrecord")
    with tf.io.TFRecordWriter(str(path), options=kind or None) as writer:
        writer.write(b"one")
        writer.write(b"")
    assert [one.data for one in read_records(path)] == [b"one", b""]


# Real text


@pytest.fixture(scope="module")
def real(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of some Wikipedia with jieba's words and BERT's vocabulary."""
    source, vocab = data_dir / "raw" / "wiki_zh.txt.xz", data_dir / "vocab" / "vocab.txt"
    if not source.is_file() or not vocab.is_file():
        pytest.skip(f"no {source} or no {vocab}")
    work = tmp_path_factory.mktemp("real")
    with lzma.open(source, "rt", encoding="utf-8") as stream:
        lines = [line for line, _ in zip(stream, range(N_LINES), strict=False)]
    (work / "wiki.txt").write_text("".join(lines), encoding="utf-8")
    prepare.run(prepare.Config([work / "wiki.txt"], work / "corpus"))
    annotate.run(annotate.Config([work / "corpus"], work / "sentences", annotator="jieba"))
    encode.run(encode.Config(work / "sentences", vocab, work / "shards"))
    return work / "shards"


@pytest.mark.parametrize("length", [128, 512])
def test_statistics_on_real_text(real: Path, tmp_path: Path, length: int) -> None:
    changes = {"max_length": length, "max_predictions": None, "dupe_factor": 3, "partner": "none"}
    paths = write(real, tmp_path / "out", "bert", short_sequence_rate=0.0, files=2, **changes)
    most = read_manifest(tmp_path / "out").config["max_predictions"]
    assert most == {128: 20, 512: 77}[length]
    columns = decode(paths, "bert", length=length, most=most)
    tokenizer = Tokenizer.load(real)
    plan = plan_sequences(ShardSet.open(real), max_length=length)
    sequences = plan.sequences(np.arange(len(plan)))
    by_text = {sequences[i].input_ids.tobytes(): sequences[i] for i in range(len(sequences))}
    n_words = 0
    for row, ids in enumerate(originals(columns).astype(np.int32)):
        # The labels put in give the text that the shards have.
        one = by_text[ids[: columns["input_mask"][row].sum()].tobytes()]
        chosen = np.zeros(len(one.input_ids), dtype=np.bool_)
        there = columns["masked_lm_weights"][row] > 0
        chosen[columns["masked_lm_positions"][row][there]] = True
        words: NDArray[Any] = np.cumsum(one.word_starts | ~one.maskable)
        sizes, hit = np.bincount(words), np.bincount(words, chosen)
        assert set(hit[hit > 0] - sizes[hit > 0]) <= {0}  # whole or not at all
        n_words += int((sizes[hit > 0] > 1).sum())
    assert n_words > 1000
    rows, slots = np.nonzero(columns["masked_lm_weights"])
    seen = columns["input_ids"][rows, columns["masked_lm_positions"][rows, slots]]
    kept = seen == columns["masked_lm_ids"][rows, slots]
    masked = seen == tokenizer.mask_id
    share = len(seen) / columns["input_mask"].sum()
    assert share == pytest.approx(0.15, abs=0.003)
    assert masked.mean() == pytest.approx(0.8, abs=0.01)
    assert kept.mean() == pytest.approx(0.1, abs=0.01)
    assert (~masked & ~kept).mean() == pytest.approx(0.1, abs=0.01)
