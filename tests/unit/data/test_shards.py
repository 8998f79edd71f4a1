"""Shards: what is written is read back; damage is named with the file."""

import dataclasses
import json
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from data_cases import LAYERS, VOCAB, make_documents, random_documents, write_shards
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.data import shards
from hanmo.data.documents import Documents, join
from hanmo.data.shard_file import Legend, damage, read_shard, write_shard
from hanmo.data.shards import ShardSet

sentences_strategy = st.lists(st.integers(1, 4), min_size=1, max_size=6)
documents_strategy = st.lists(st.lists(sentences_strategy, min_size=1, max_size=4), max_size=8)


def assert_equal(one: Documents, two: Documents) -> None:
    for field in dataclasses.fields(Documents):
        if field.name != "layers":
            np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
    assert one.layers.keys() == two.layers.keys()
    for name in one.layers:
        np.testing.assert_array_equal(one.layers[name], two.layers[name])


@settings(max_examples=30, deadline=None)
@given(documents_strategy, documents_strategy.filter(bool), st.integers(1, 40))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, first: list, second: list, shard_pieces: int
) -> None:
    parts = [make_documents(first), make_documents(second, first_id=50)]
    folder = tmp_path_factory.mktemp("shards") / "out"
    shards = ShardSet.open(write_shards(folder, parts, shard_pieces=shard_pieces))
    assert_equal(join(shards.shards, list(LAYERS)), join(parts, list(LAYERS)))
    assert shards.n_pieces == sum(len(part.ids) for part in parts)
    assert shards.n_documents == len(first) + len(second)
    starts = [len(shard.sentence_starts) - 1 for shard in shards.shards]
    assert sum(starts) == sum(map(len, first + second))
    for shard in shards.shards[:-1]:  # closed at once after the document that filled it
        assert len(shard.ids) >= shard_pieces > shard.piece_offsets[-2]


def test_many_small_parts_are_copied_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_MOST_WAITING", 4)
    documents = random_documents(3, 30)
    whole = write_shards(tmp_path / "whole", [documents], shard_pieces=10_000)
    held: list[weakref.ref[Documents]] = []

    def parts() -> Iterator[Documents]:
        for number in range(30):
            part = documents.cut(number, number + 1)
            ids = part.ids.copy()
            held.append(weakref.ref(ids))
            yield dataclasses.replace(part, ids=ids)
            del part, ids
            assert sum(one() is not None for one in held) <= 5

    single = write_shards(tmp_path / "single", parts(), shard_pieces=10_000)
    for path in whole.iterdir():
        assert path.read_bytes() == (single / path.name).read_bytes()


def test_shard_borders_do_not_depend_on_how_documents_are_handed_over(tmp_path: Path) -> None:
    documents = random_documents(3, 30)
    whole = write_shards(tmp_path / "whole", [documents], shard_pieces=700)
    single = write_shards(
        tmp_path / "single", [documents.cut(i, i + 1) for i in range(30)], shard_pieces=700
    )
    names = sorted(path.name for path in whole.iterdir())
    assert len(names) > 5
    assert names == sorted(path.name for path in single.iterdir())
    for name in names:
        assert (whole / name).read_bytes() == (single / name).read_bytes()


def test_what_the_numbers_mean_is_kept(shards: ShardSet) -> None:
    assert shards.layers == LAYERS
    assert shards.special_ids == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert (shards.folder / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1] == VOCAB


def test_ids_take_four_bytes_only_when_they_must(tmp_path: Path) -> None:
    documents = make_documents([[[1, 2]]])
    for size, dtype in ((65_535, "<u2"), (65_536, "<u4")):
        write_shard(tmp_path / f"{size}.bin", documents, Legend(LAYERS, {}, size, ""))
        assert read_shard(tmp_path / f"{size}.bin")[0].ids.dtype.str == dtype


def test_a_shard_set_travels_to_another_process_as_its_folder(shards: ShardSet) -> None:
    raw = pickle.dumps(shards)
    assert len(raw) < 1000
    copy = pickle.loads(raw)
    assert copy.n_pieces == shards.n_pieces
    np.testing.assert_array_equal(copy.shards[1].ids, shards.shards[1].ids)


@pytest.mark.parametrize("verify", [True, False])
def test_a_shard_cut_short_is_named(shards: ShardSet, verify: bool) -> None:
    path = shards.folder / "00001.bin"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError) as caught:
        ShardSet.open(shards.folder, verify=verify)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert f"{size - 100:,} bytes; expected {size:,}" in message
    assert "hanmo encode" in message


def test_a_flipped_bit_is_named(shards: ShardSet) -> None:
    path = shards.folder / "00001.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    wanted = r"00001\.bin: damaged from offset 0 to [\d,]+ \(ids, .*\): SHA-256"
    with pytest.raises(UserError, match=wanted):
        ShardSet.open(shards.folder)


def test_damage_is_found_at_its_offset(tmp_path: Path) -> None:
    """Blocks of 64 KiB; an index of an earlier hanmo, which has no sums of them, says no offset."""
    n = 200_000
    starts = np.array([0, n])
    one = Documents(
        np.zeros(n, np.uint16), np.ones(n, np.uint8), starts, np.array([0, 1]), {"pos": np.zeros(n)}
    )
    legend = Legend({"pos": ("n",)}, {"pad": 0}, 100, "digest")
    path = tmp_path / "00000.bin"
    write_shard(path, one, legend)
    assert damage(path) == ""
    data = bytearray(path.read_bytes())
    data[70_000] ^= 1
    path.write_bytes(data)
    assert damage(path) == " from offset 65,536 to 131,072 (ids)"
    data[450_000] ^= 1
    data[-1] ^= 1
    path.write_bytes(data)
    assert damage(path) == " from offset 65,536 to 131,072 (ids) and 2 more blocks of 64 KiB"
    index = json.loads(path.with_suffix(".idx").read_text(encoding="utf-8"))
    del index["crc32"]
    path.with_suffix(".idx").write_text(json.dumps(index), encoding="utf-8")
    assert damage(path) == ""
    assert len(read_shard(path)[0].ids) == n


def test_another_vocabulary_is_named(shards: ShardSet) -> None:
    (shards.folder / "vocab.txt").write_text("\n".join(reversed(VOCAB)), encoding="utf-8")
    with pytest.raises(UserError, match=r"vocab\.txt: damaged: SHA-256"):
        ShardSet.open(shards.folder)


def test_a_label_changed_in_the_index_is_named(shards: ShardSet) -> None:
    for path in shards.folder.glob("*.idx"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("wp", "ws"), encoding="utf-8")
    with pytest.raises(UserError, match=r"\.idx: damaged: SHA-256"):
        ShardSet.open(shards.folder)


def test_missing_files_are_named(shards: ShardSet) -> None:
    (shards.folder / "00000.idx").rename(shards.folder / "kept")
    with pytest.raises(UserError, match=r"00000\.idx: missing"):
        ShardSet.open(shards.folder)
    (shards.folder / "kept").rename(shards.folder / "00000.idx")
    (shards.folder / "00000.bin").unlink()
    with pytest.raises(UserError, match=r"00000\.bin: missing"):
        ShardSet.open(shards.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index | {"version": 99}, r"00000\.idx: shard format 99"),
        (lambda index: {}, r"00000\.idx: damaged index"),
        (lambda index: {"version": 1}, r"00000\.idx: damaged index"),
        (lambda index: index | {"columns": {"ids": {}}}, r"00000\.idx: damaged index"),
        (
            lambda index: (
                index
                | {"columns": {name: c | {"count": 10**6} for name, c in index["columns"].items()}}
            ),
            r"00000\.idx: damaged index",
        ),
        (
            lambda index: index | {"layers": {"pos": ["v", "n", "wp"], "ner": ["O", "S-Ns"]}},
            r"00001\.bin: other labels or another vocabulary than 00000\.bin",
        ),
    ],
)
def test_a_changed_index_is_named(shards: ShardSet, change: object, message: str) -> None:
    path = shards.folder / "00000.idx"
    index = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(change(index)), encoding="utf-8")  # type: ignore[operator]
    with pytest.raises(UserError, match=message):
        ShardSet.open(shards.folder, verify=False)
    with pytest.raises(UserError, match=r"00000\.(idx|bin)"):
        ShardSet.open(shards.folder)
