"""`hanmo encode --to tfrecord` and back: what upstream reads, the same bytes, helpful errors."""

import itertools
import json
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_cases import (
    CHARACTERS,
    LAYERS,
    MASK,
    VOCAB,
    decode,
    originals,
    record_paths,
    write_sentences,
    write_vocabulary,
)

from hanmo.annotate.tagsets import TAGSETS
from hanmo.cli import main
from hanmo.commands import _tfrecord_reading, _tfrecord_writing, encode
from hanmo.commands.encode import Config, run
from hanmo.core.artifact import read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.data.documents import Documents, join
from hanmo.data.example import float_feature, int64_feature, write_example
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet
from hanmo.data.tfrecord import read_records, write_records

LENGTH = 48


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sentences, a vocabulary and shards; only read."""
    work = tmp_path_factory.mktemp("records")
    vocab = write_vocabulary(work / "vocab.txt")
    sentences = write_sentences(work / "sentences", n_documents=30)
    run(Config(sentences, vocab, work / "shards", shard_pieces=2000))
    return work


def settings(road: Path, out: Path, **changes: Any) -> Config:
    config = Config(road / "shards", None, out, to="tfrecord", format="lert", max_length=LENGTH)
    return replace(config, **{"files": 3, "dupe_factor": 2, **changes})


def write(road: Path, out: Path, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Counts, and the columns of all records."""
    config = settings(road, out, **changes)
    counts = run(config)
    most = read_manifest(out, "tfrecord").config["max_predictions"]
    columns = decode(record_paths(out), config.format or "", length=LENGTH, most=most or 0)
    return counts, columns


def contents(folder: Path) -> dict[str, bytes]:
    names = sorted(path.name for path in folder.iterdir() if path.name != "manifest.json")
    return {name: (folder / name).read_bytes() for name in names}


def joined(folder: Path) -> Documents:
    shards = ShardSet.open(folder)
    return join(shards.shards, list(shards.layers))


def planned(road: Path, **options: Any) -> list[tuple[int, ...]]:
    plan = plan_sequences(ShardSet.open(road / "shards"), max_length=LENGTH, **options)
    sequences = plan.sequences(np.arange(len(plan)))
    return [tuple(sequences[i].input_ids.tolist()) for i in range(len(sequences))]


def test_records_of_lert(road: Path, tmp_path: Path) -> None:
    counts, columns = write(road, tmp_path / "out")
    out = tmp_path / "out"
    verify(out)
    assert [path.name for path in record_paths(out)] == [
        f"pretrain_data.tfrecord-{number:05d}-of-00003" for number in range(3)
    ]
    assert (out / "vocab.txt").read_bytes() == (road / "vocab.txt").read_bytes()
    # Every sequence is there once a pass, and its labels are the original text.
    found = Counter(
        tuple(ids[:n].tolist())
        for ids, n in zip(originals(columns), columns["input_mask"].sum(1), strict=True)
    )
    expected = Counter(planned(road))
    assert found == Counter({ids: 2 * n for ids, n in expected.items()})
    assert counts["records"] == found.total() == len(columns["input_ids"])
    assert counts["pieces"] == columns["input_mask"].sum()
    assert counts["masked_positions"] == columns["masked_lm_weights"].sum()
    assert counts["files"] == 3
    assert not columns["segment_ids"].any()
    behind = columns["input_mask"] == 0
    assert not columns["input_ids"][behind].any()
    unused = columns["masked_lm_weights"] == 0
    for name in ("masked_lm_positions", "masked_lm_ids", "pos_labels", "ner_labels", "dep_labels"):
        assert not columns[name][unused].any()
    assert read_manifest(out, "tfrecord").counts == counts


def test_labels_are_those_of_the_masked_words(road: Path, tmp_path: Path) -> None:
    counts, columns = write(road, tmp_path / "out", dupe_factor=1, files=1)
    plan = plan_sequences(ShardSet.open(road / "shards"), max_length=LENGTH)
    sequences = plan.sequences(np.arange(len(plan)))
    by_text = {tuple(sequences[i].input_ids.tolist()): sequences[i] for i in range(len(sequences))}
    unlabelled = 0
    for row, ids in enumerate(originals(columns)):
        n = int(columns["input_mask"][row].sum())
        one = by_text[tuple(ids[:n].tolist())]
        there = columns["masked_lm_weights"][row] > 0
        positions = columns["masked_lm_positions"][row][there]
        assert (np.diff(positions) > 0).all()
        for layer in LAYERS:
            labels = columns[f"{layer}_labels"][row][there]
            np.testing.assert_array_equal(labels, one.layers[layer][positions])
            assert (labels >= 0).all()
        unlabelled += int((one.maskable & (one.layers["pos"] < 0)).sum())
        # A word is chosen as a whole or not at all.
        chosen = np.zeros(n, dtype=np.bool_)
        chosen[positions] = True
        words = np.cumsum(one.word_starts | ~one.maskable)
        for word in np.unique(words[chosen]):
            assert chosen[words == word].all()
        budget = max(1, round(0.15 * n))
        assert there.sum() <= budget
    assert counts["unlabelled_pieces"] == unlabelled > 0


def test_shares_of_masked_random_and_kept(road: Path, tmp_path: Path) -> None:
    counts, columns = write(road, tmp_path / "out", format="bert", dupe_factor=30)
    rows, slots = np.nonzero(columns["masked_lm_weights"])
    seen = columns["input_ids"][rows, columns["masked_lm_positions"][rows, slots]]
    labels = columns["masked_lm_ids"][rows, slots]
    n = len(labels)
    assert n > 10_000
    assert (seen == MASK).mean() == pytest.approx(0.8, abs=0.015)
    # Of the random ones a few are the original piece.
    assert (seen == labels).mean() == pytest.approx(0.1 + 0.1 / 84, abs=0.012)
    assert counts["masked_positions"] / counts["pieces"] == pytest.approx(0.15, abs=0.005)
    unlike = (seen != MASK) & (seen != labels)
    assert len(set(seen[unlike].tolist())) > 60  # of 84 that may stand in
    assert seen[unlike].min() >= 5


def test_each_pass_masks_anew(road: Path, tmp_path: Path) -> None:
    _, columns = write(road, tmp_path / "out", dupe_factor=5)
    places: dict[bytes, list[bytes]] = {}
    for ids, positions in zip(originals(columns), columns["masked_lm_positions"], strict=True):
        places.setdefault(ids.tobytes(), []).append(positions.tobytes())
    different = [len(set(found)) for found in places.values() if len(found) == 5]
    assert np.mean(different) > 4.5


def test_pairs_of_bert(road: Path, tmp_path: Path) -> None:
    counts, columns = write(road, tmp_path / "nsp", format="bert", dupe_factor=4)
    answers = columns["next_sentence_labels"][:, 0]
    assert set(answers.tolist()) == {0, 1}
    assert 0.4 < answers.mean() < 0.7
    assert counts["left_out_pieces"] == 0
    sentences = {tuple(one) for one in _sentences(road)}
    for ids, segments, n in zip(
        originals(columns), columns["segment_ids"], columns["input_mask"].sum(1), strict=True
    ):
        seps = np.flatnonzero(ids[:n] == 3)
        assert len(seps) == 2
        assert segments[: seps[0] + 1].max() == 0
        assert segments[seps[0] + 1 : n].min() == 1
        assert not segments[n:].any()
    counts, columns = write(road, tmp_path / "sop", format="bert", partner="sop", dupe_factor=4)
    answers = columns["next_sentence_labels"][:, 0]
    assert answers.mean() == pytest.approx(0.5, abs=0.1)
    assert counts["left_out_pieces"] > 0  # chunks of one sentence have no order
    _, columns = write(road, tmp_path / "none", format="bert", partner="none", dupe_factor=1)
    assert not columns["next_sentence_labels"].any()
    assert not columns["segment_ids"].any()
    assert len(sentences) > 100


def _sentences(folder: Path) -> list[list[int]]:
    documents = joined(folder / "shards")
    bounds = documents.sentence_starts
    return [documents.ids[a:b].tolist() for a, b in itertools.pairwise(bounds.tolist())]


def test_records_of_electra_are_not_masked(road: Path, tmp_path: Path) -> None:
    changes = {"format": "electra", "dupe_factor": None, "short_sequence_rate": 0.0}
    counts, columns = write(road, tmp_path / "out", **changes)
    found = Counter(
        tuple(ids[:n].tolist())
        for ids, n in zip(columns["input_ids"], columns["input_mask"].sum(1), strict=True)
    )
    assert found == Counter(planned(road))
    assert "masked_positions" not in counts


def test_places_over_the_budget_are_given_up_and_counted(road: Path, tmp_path: Path) -> None:
    counts, columns = write(road, tmp_path / "out", max_predictions=4)
    free, _ = write(road, tmp_path / "free")
    assert columns["masked_lm_weights"].sum(1).max() == 4
    given_up = free["masked_positions"] - counts["masked_positions"]
    assert counts["over_budget_positions"] == given_up > 0
    assert free["over_budget_positions"] == 0
    rows, slots = np.nonzero(columns["masked_lm_weights"])
    masked = columns["input_ids"] == MASK
    chosen = np.zeros_like(masked)
    chosen[rows, columns["masked_lm_positions"][rows, slots]] = True
    assert not (masked & ~chosen).any()


def test_any_number_of_workers_gives_the_same_bytes(road: Path, tmp_path: Path) -> None:
    for name, changes in (("bert", {"format": "bert"}), ("lert", {})):
        run(settings(road, tmp_path / f"{name}-1", **changes))
        run(settings(road, tmp_path / f"{name}-2", workers=2, **changes))
        assert contents(tmp_path / f"{name}-1") == contents(tmp_path / f"{name}-2")
    other = settings(road, tmp_path / "other", seed=7)
    run(other)
    assert contents(other.out) != contents(tmp_path / "lert-1")


def test_sentences_give_the_same_records_as_their_shards(road: Path, tmp_path: Path) -> None:
    run(settings(road, tmp_path / "one"))
    changes = {"sentences": road / "sentences", "vocab": road / "vocab.txt", "shard_pieces": 2000}
    run(settings(road, tmp_path / "two", **changes))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert set(read_manifest(tmp_path / "two").inputs) == {"sentences", "vocab"}
    with pytest.raises(UserError, match=r"--vocab: missing, and .* are sentences, not shards"):
        run(settings(road, tmp_path / "three", sentences=road / "sentences"))


def test_an_interrupted_run_is_continued(
    road: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(settings(road, tmp_path / "whole"))
    written: list[str] = []

    def note(path: Path, records: Any) -> int:
        written.append(path.name[-14:-9])
        if written == ["00000", "00001"]:
            for number, _ in enumerate(records):
                if number == 3:
                    raise KeyboardInterrupt
        return write_records(path, records)

    monkeypatch.setattr(_tfrecord_writing, "write_records", note)
    config = settings(road, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(config)
    assert not config.out.exists()
    written.clear()
    counts = run(config)
    assert written == ["00001", "00002"]
    assert counts == read_manifest(tmp_path / "whole").counts
    assert contents(config.out) == contents(tmp_path / "whole")
    before = (config.out / "manifest.json").stat().st_mtime_ns
    assert run(config) == counts
    assert (config.out / "manifest.json").stat().st_mtime_ns == before


def test_the_command_line(road: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    words = ["encode", str(road / "shards"), "--to", "tfrecord", "--format", "lert", "--json"]
    words += ["--max-length", "48", "--files", "2", "--lert.rate", "0.3", "--lert.unit", "piece"]
    assert main([*words, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "max_seq_length 48 and max_predictions_per_seq 15" in shown.err
    counts = json.loads(shown.out)
    assert counts["masked_positions"] / counts["pieces"] == pytest.approx(0.3, abs=0.01)
    made = read_manifest(out).config
    assert (made["objective"], made["options"]["unit"]) == ("lert", "piece")
    assert made["dupe_factor"] == 5
    # A finished folder repeats its settings.
    assert main(["encode", "--config", str(out), "--out", str(again)]) == 0
    assert contents(again) == contents(out)
    assert main(["encode", "--config", str(road / "shards"), "--out", str(tmp_path / "s")]) == 0
    capsys.readouterr()
    help_words = ["encode", "--format", "lert", "--help"]
    assert main(help_words) == 0
    assert "--lert.ngram" in capsys.readouterr().out
    assert main(["encode", "--help"]) == 0
    assert "--lert.ngram" not in capsys.readouterr().out


def test_another_objective_may_mask(road: Path, tmp_path: Path) -> None:
    source = tmp_path / "first.py"
    source.write_text(
        '"""Mask the first piece."""\nimport dataclasses\nimport numpy as np\n'
        "from hanmo.data.ragged import Corrupted\n\n\n@dataclasses.dataclass(frozen=True)\n"
        "class Objective:\n    layers = ()\n\n"
        "    def corrupt(self, sequences, draws, vocabulary):\n"
        "        at = sequences.offsets[:-1] + 1\n        ids = sequences.input_ids.copy()\n"
        "        ids[at] = vocabulary.mask_id\n"
        "        targets = {'pieces': sequences.input_ids[at]}\n"
        "        return Corrupted({'input_ids': ids}, at, targets, sequences.offsets,"
        " counts={'firsts': len(at)})\n",
        encoding="utf-8",
    )
    counts, columns = write(road, tmp_path / "out", format="bert", objective=str(source))
    assert (columns["input_ids"][:, 1] == MASK).all()
    assert counts["firsts"] == counts["masked_positions"] == counts["records"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "--format: missing; whose records: bert, lert or electra"),
        ({"max_length": 7}, "--max-length: got 7; expected 8 or more"),
        ({"files": 0}, "--files: got 0; expected 1 or more"),
        ({"files": 10_000}, "--files: got 10000; .* makes .* records; give fewer files"),
        ({"seed": -1}, "--seed: got -1"),
        ({"dupe_factor": 0}, "--dupe-factor: got 0"),
        ({"max_predictions": 0}, "--max-predictions: got 0"),
        ({"short_sequence_rate": 1.5}, "short_sequence_rate: got 1.5"),
        ({"partner": "nps"}, "--partner: got 'nps'; expected none, nsp, sop"),
        ({"partner": "nsp"}, "--partner: got nsp; .* no next_sentence_labels"),
        ({"objective": "mlm"}, "--objective mlm: gives no pos, ner, dep"),
        ({"options": {"layers": ("pos",)}}, "--objective lert: gives no ner, dep"),
        ({"format": "bert", "objective": "pert"}, "--objective pert: does not predict pieces"),
        ({"format": "electra", "objective": "mlm", "dupe_factor": None}, "masked as it is trained"),
        ({"format": "electra", "dupe_factor": 2}, "--dupe-factor: got 2; .* leave it out"),
        ({"format": "electra", "dupe_factor": 1, "max_predictions": 5}, "has no masks"),
        ({"vocab": Path("vocab.txt")}, "--vocab: .* are shards, which have theirs"),
        ({"ner_level": "char"}, "--ner-level: .* are shards"),
        ({"shard_pieces": 9}, "--shard-pieces: .* are shards"),
        ({"more": (Path("more"),)}, "more: expected one folder"),
        ({"sentences": Path("absent")}, "absent: no such folder"),
    ],
)
def test_settings_that_do_not_fit(
    road: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(settings(road, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_settings_of_records_are_not_passed_over(road: Path, tmp_path: Path) -> None:
    config = Config(road / "sentences", road / "vocab.txt", tmp_path / "out")
    for name, value in (("format", "bert"), ("files", 3), ("dupe_factor", 5), ("objective", "mlm")):
        with pytest.raises(UserError, match="is for records; pass --to tfrecord as well"):
            run(replace(config, **{name: value}))
    with pytest.raises(UserError, match="--partner: is for records; shards serve any"):
        run(replace(config, partner="nsp"))
    with pytest.raises(UserError, match="encode: --vocab missing"):
        run(replace(config, vocab=None))


def test_shards_that_lack_a_layer(road: Path, tmp_path: Path) -> None:
    from hanmo.annotate.sentence import Sentence
    from hanmo.annotate.store import write_part
    from hanmo.core.artifact import building

    with building(tmp_path / "sentences", kind="sentences", config={}) as build:
        one = Sentence("天地玄黄", ((0, 2), (2, 4)), {"pos": ("n", "v"), "ner": ("O", "O")})
        write_part(build.dir / "part-00000.parquet", [("a", one), ("a", one)])
    run(Config(tmp_path / "sentences", road / "vocab.txt", tmp_path / "shards"))
    config = settings(road, tmp_path / "out", sentences=tmp_path / "shards", files=1)
    with pytest.raises(
        UserError, match=r"lacks the layers dep that format lert needs \(it has: pos"
    ):
        run(config)
    pairs = replace(config, format="bert", partner="sop", dupe_factor=1)
    assert run(pairs)["records"] == 1
    single = replace(pairs, out=tmp_path / "single", max_length=8)
    with pytest.raises(UserError, match="no pairs for --partner nsp"):
        with building(tmp_path / "alone", kind="sentences", config={}) as build:
            write_part(build.dir / "part-00000.parquet", [("a", one)])
        run(Config(tmp_path / "alone", road / "vocab.txt", tmp_path / "alone-shards"))
        run(replace(single, sentences=tmp_path / "alone-shards", partner=None))


def test_labels_that_are_mostly_missing_are_told(
    road: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(settings(road, tmp_path / "out"))
    assert "of the pieces lack a label and were never chosen" in capsys.readouterr().err
    run(settings(road, tmp_path / "small", max_predictions=4))
    assert "being over --max-predictions 4 of a record" in capsys.readouterr().err


# And back


def back(paths: list[Path], road: Path, out: Path, **changes: Any) -> dict[str, Any]:
    config = Config(paths[0], road / "vocab.txt", out, more=tuple(paths[1:]), shard_pieces=2000)
    return run(replace(config, **changes))


def test_records_of_lert_come_back(road: Path, tmp_path: Path) -> None:
    run(settings(road, tmp_path / "records", dupe_factor=8))
    counts = back([tmp_path / "records"], road, tmp_path / "shards")
    verify(tmp_path / "shards")
    made = joined(tmp_path / "shards")
    expected = planned(road)
    bounds = made.piece_offsets
    found = [(2, *made.ids[a:b].tolist(), 3) for a, b in itertools.pairwise(bounds.tolist())]
    assert sorted(found) == sorted(set(expected))
    assert counts["duplicates"] == 8 * len(expected) - len(found)
    assert counts["records"] == 8 * len(expected)
    assert counts["documents"] == counts["sentences"] == len(found)
    assert counts["pieces"] == len(made.ids)
    assert counts == read_manifest(tmp_path / "shards", "shards").counts
    assert ShardSet.open(tmp_path / "shards").layers == {name: TAGSETS[name] for name in LAYERS}
    # What the eight copies know of labels is put together, and all of it is right.
    plan = plan_sequences(ShardSet.open(road / "shards"), max_length=LENGTH)
    sequences = plan.sequences(np.arange(len(plan)))
    labels = {
        tuple(sequences[i].input_ids.tolist()): sequences[i].layers for i in range(len(sequences))
    }
    n_known = 0
    for ids, a, b in zip(found, bounds[:-1], bounds[1:], strict=True):
        for layer in LAYERS:
            here = made.layers[layer][a:b]
            known = here >= 0
            np.testing.assert_array_equal(here[known], labels[ids][layer][1:-1][known])
            n_known += int(known.sum())
    assert n_known == sum(counts[f"labelled_pieces_{layer}"] for layer in LAYERS)
    assert counts["labelled_pieces_pos"] > 0.6 * counts["pieces"]  # of one copy: 0.15


def test_files_one_by_one_and_any_number_of_workers(road: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    run(settings(road, records, format="bert"))
    one = back([records], road, tmp_path / "one")
    two = back(record_paths(records), road, tmp_path / "two", workers=2)
    assert one == two
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert one["random_next_pairs"] > 0
    foreign = tmp_path / "foreign"  # as somebody else's folder
    foreign.mkdir()
    for path in record_paths(records):
        (foreign / path.name).write_bytes(path.read_bytes())
    back([foreign], road, tmp_path / "three")
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_swapped_pairs_come_back_in_order(road: Path, tmp_path: Path) -> None:
    changes = {"format": "bert", "partner": "sop", "dupe_factor": 1, "short_sequence_rate": 0.0}
    counts = run(settings(road, tmp_path / "records", **changes))
    found = back([tmp_path / "records"], road, tmp_path / "shards", partner="sop")
    assert found["swapped_pairs"] > 0
    assert found["documents"] + found["duplicates"] == counts["records"]
    made, before = joined(tmp_path / "shards"), joined(road / "shards")
    text = "".join(VOCAB[i] for i in before.ids)
    sentences = [
        "".join(VOCAB[i] for i in made.ids[a:b])
        for a, b in itertools.pairwise(made.sentence_starts.tolist())
    ]
    assert len(sentences) == 2 * found["documents"]
    pairs = list(zip(sentences[::2], sentences[1::2], strict=True))
    long = [pair for pair in pairs if min(map(len, pair)) > 6]  # these stand in one place alone
    assert len(long) > 50
    for first, second in long:
        assert 0 <= text.find(first) < text.find(second)


def test_reading_is_continued(road: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(settings(road, tmp_path / "records"))
    back([tmp_path / "records"], road, tmp_path / "whole")
    read: list[str] = []

    def note(path: Path) -> Any:
        read.append(path.name[-14:-9])
        if read == ["00000", "00001"]:
            raise KeyboardInterrupt
        return read_records(path)

    monkeypatch.setattr(_tfrecord_reading, "read_records", note)
    monkeypatch.setattr(_tfrecord_reading, "SHARD_PIECES", 500)  # several parts a file
    with pytest.raises(KeyboardInterrupt):
        back([tmp_path / "records"], road, tmp_path / "out")
    read.clear()
    back([tmp_path / "records"], road, tmp_path / "out")
    assert read == ["00001", "00002"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def _example(ids: list[int], **more: bytes) -> bytes:
    ones, zeros = np.ones(len(ids), int), np.zeros(len(ids), int)
    inputs = {"input_ids": int64_feature(np.array(ids)), "input_mask": int64_feature(ones)}
    return write_example({**inputs, "segment_ids": int64_feature(zeros), **more})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([_example([2, 5, 3]), b"\x0a\x05abc"], "record 2 at offset .*: not a tf.train.Example"),
        ([_example([2, 5, 3]), _example([2, 500, 3])], "record 2 at .* 500; this vocabulary has"),
        ([write_example({"image": float_feature(np.ones(3))})], r"no input_ids, .*found: image\)"),
        ([_example([2, 5, 3], masked_lm_ids=int64_feature(np.ones(3)))], "no masked_lm_positions"),
        ([_example([101, 5, 102])], "record 1 at offset 0: input_ids: 101; this vocabulary"),
        ([_example([2, 3])], "no records with text in it"),
        ([], "no records with text in it"),
    ],
)
def test_records_that_are_none(
    road: Path, tmp_path: Path, content: list[bytes], message: str
) -> None:
    path = tmp_path / "a.tfrecord"
    write_records(path, content)
    with pytest.raises(UserError, match=message) as caught:
        back([path], road, tmp_path / "out")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_none(road: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write_records(path, [_example([2, 5, 6, 3])])
    with pytest.raises(UserError, match=r"b\.tfrecord: no such file, and no folder with"):
        back([tmp_path / "b.tfrecord"], road, tmp_path / "out")
    with pytest.raises(UserError, match="sentences: no such file, and no folder with files of"):
        back([path, road / "sentences"], road, tmp_path / "out")
    with pytest.raises(UserError, match=r"a\.tfrecord: named more than once"):
        back([tmp_path, path], road, tmp_path / "out")
    with pytest.raises(UserError, match="not a TFRecord file"):
        back([road / "vocab.txt"], road, tmp_path / "out")
    with pytest.raises(UserError, match="kind 'shards'; expected 'sentences'"):
        back([road / "shards"], road, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="not a finished folder"):
        back([tmp_path / "empty"], road, tmp_path / "out")
    # A file without records beside one with some is none of our business: upstream makes such.
    write_records(tmp_path / "none.tfrecord", [])
    assert back([tmp_path], road, tmp_path / "out")["documents"] == 1


def test_the_real_sample_of_albert_zh(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "tf1" / "tfrecord" / "albert_zh_pretraining_sample.tfrecord.xz"
    vocab = data_dir / "vocab" / "vocab.txt"
    if not path.is_file() or not vocab.is_file():
        pytest.skip(f"no {path} or no {vocab}")
    counts = run(Config(path, vocab, tmp_path / "out", partner="sop"))
    assert counts["records"] == 259
    assert counts["masked_positions"] == 10_423
    assert counts["mended_labels"] == 3593
    assert counts["mended_inputs"] == counts["unrestored_records"] == 0
    assert counts["swapped_pairs"] == 134
    assert counts["documents"] == 202  # the others are the same pairs, swapped
    assert counts["words"] == counts["pieces"] - _continued(tmp_path / "out")
    shards = ShardSet.open(tmp_path / "out")
    pieces = (tmp_path / "out" / "vocab.txt").read_text(encoding="utf-8").split("\n")
    text = "".join(pieces[i] for i in shards.shards[0].ids)
    assert "中医认为，糖尿病是气血、阴阳失调等多种原因引起的一种慢性疾病。" in text
    assert not any(f"##{c}" in text for c in "为因是液复药")


def _continued(folder: Path) -> int:
    return int(sum((one.word_starts == 0).sum() for one in ShardSet.open(folder).shards))


def test_the_shards_of_sentences_are_what_they_were(road: Path) -> None:
    made = read_manifest(road / "shards", "shards").config
    assert set(made) == set(encode._OF_SHARDS) - {"out", "overwrite", *encode._HOW}
    assert len(CHARACTERS) * 2 + 5 == len(VOCAB)


PROGRAM = """
import os, signal, sys
from pathlib import Path
from hanmo.commands import _tfrecord_reading, _tfrecord_writing, encode
from hanmo.data.tfrecord import read_records, write_records

kind, source, vocab, out, moment = sys.argv[1:]
calls = 0

def killed(items, at):
    global calls
    calls += 1
    for number, one in enumerate(items):
        if calls == int(moment) and number == at:
            os.kill(os.getpid(), signal.SIGKILL)
        yield one

if kind == "write":
    _tfrecord_writing.write_records = lambda path, made: write_records(path, killed(made, 20))
    settings = {"to": "tfrecord", "format": "bert", "max_length": 48, "files": 3, "dupe_factor": 2}
    encode.run(encode.Config(Path(source), None, Path(out), **settings))
else:
    _tfrecord_reading.read_records = lambda path: killed(read_records(path), 20)
    encode.run(encode.Config(Path(source), Path(vocab), Path(out)))
"""


@pytest.mark.parametrize("kind", ["write", "read"])
def test_killed_and_continued_is_the_same_as_unbroken(
    road: Path, tmp_path: Path, kind: str
) -> None:
    source = road / "shards"
    if kind == "read":
        source = tmp_path / "records"
        run(settings(road, source))

    def program(out: Path, moment: int) -> int:
        words = [kind, source, road / "vocab.txt", out, str(moment)]
        return subprocess.run([sys.executable, "-c", PROGRAM, *words], check=False).returncode

    assert program(tmp_path / "whole", 0) == 0
    for moment in (2, 1):  # in the second file, then in the same one, which is now the first
        assert program(tmp_path / "out", moment) == -signal.SIGKILL
        assert not (tmp_path / "out").exists()
    assert program(tmp_path / "out", 0) == 0
    verify(tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert read_manifest(tmp_path / "out").counts == read_manifest(tmp_path / "whole").counts
