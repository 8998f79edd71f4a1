"""Columns of a part equal the columns of its rows, whatever the rows hold."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.annotate import columns
from hanmo.annotate.column_store import read_columns, write_columns
from hanmo.annotate.columns import Columns, blocks_of, columns_of
from hanmo.annotate.sentence import Sentence
from hanmo.annotate.store import write_part
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.errors import UserError


@st.composite
def sentences(draw: st.DrawFn) -> Sentence:
    words = draw(st.lists(st.text("中国人GPU🙂é1", min_size=1, max_size=4), max_size=6))
    gaps = draw(st.lists(st.sampled_from(["", " ", "\u3000"]), min_size=7, max_size=7))
    text, spans = gaps[-1], []
    for word, gap in zip(words, gaps, strict=False):
        spans.append((len(text), len(text) + len(word)))
        text += word + gap
    layers = {}
    for name, tags in TAGSETS.items():
        if draw(st.booleans()):
            label = st.none() | st.sampled_from(tags)
            layers[name] = tuple(draw(st.lists(label, min_size=len(words), max_size=len(words))))
    return Sentence(text, tuple(spans), layers)


rows_strategy = st.lists(st.tuples(st.sampled_from(["a", "b", "文"]), sentences()), max_size=9)


def joined(blocks: list[Columns]) -> list[object]:
    """Everything that blocks hold, with -1 where a block lacks a layer."""
    layers = {
        name: [
            x
            for block in blocks
            for x in block.layers.get(name, np.full(len(block.words), -1)).tolist()
        ]
        for name in TAGSETS
    }
    return [
        [text for block in blocks for text in block.texts],
        [name for block in blocks for name in block.documents],
        [n for block in blocks for n in block.n_words.tolist()],
        [word for block in blocks for word in block.words.tolist()],
        layers,
    ]


@settings(deadline=None)
@given(rows=rows_strategy, block=st.sampled_from([1, 2, 4096]))
def test_a_part_and_its_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, Sentence]], block: int
) -> None:
    path = tmp_path_factory.mktemp("part") / "part-00000.parquet"
    write_part(path, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "BLOCK", block)
        found = list(read_columns(path))
        made = list(blocks_of(rows))
    assert joined(found) == joined(made)
    assert all(one.layers[name].dtype == np.int8 for one in found for name in one.layers)
    for one in found:
        n = len(one.texts)
        expected = [False, *(one.documents[i] != one.documents[i - 1] for i in range(1, n))][:n]
        assert one.changes.tolist() == expected


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        (Sentence("中国", ((0, 3),), {}), "document x: word span .0, 3."),
        (Sentence("中国", ((0, 2),), {"pos": ("n", "n")}), "layer pos has 2 labels for 1 words"),
        (Sentence("中国", ((0, 2),), {"pos": ("ns",)}), None),
    ],
)
def test_what_does_not_fit_is_refused(sentence: Sentence, message: str | None) -> None:
    if message is None:
        assert columns_of([("x", sentence)]).layers["pos"].tolist() == [TAGSETS["pos"].index("ns")]
        return
    with pytest.raises(UserError, match=message):
        columns_of([("x", sentence)])


def test_a_damaged_part_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    good = Sentence("中国", ((0, 2),), {"pos": ("ns",)})
    write_part(path, [("x", Sentence("中国", ((0, 2),), {"pos": ("n", "v")}))])
    with pytest.raises(UserError, match="document x: layer pos has 2 labels for 1 words"):
        list(read_columns(path))
    write_part(path, [("x", Sentence("中国", ((0, 2),), {"pos": ("nss",)}))])
    with pytest.raises(UserError, match="unknown pos label 'nss'; did you mean 'ns'"):
        list(read_columns(path))
    write_part(path, [("x", good)])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"part-00000\.parquet: damaged Parquet file"):
        list(read_columns(path))


@settings(deadline=None)
@given(rows=rows_strategy)
def test_columns_and_rows_write_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, Sentence]]
) -> None:
    """Where all sentences have the same layers, as quick annotators give them."""
    layers = set.intersection(*(set(one.layers) for _, one in rows)) if rows else set()
    rows = [
        (name, Sentence(one.text, one.words, {k: one.layers[k] for k in one.layers if k in layers}))
        for name, one in rows
    ]
    folder = tmp_path_factory.mktemp("part")
    write_part(folder / "rows.parquet", rows)
    write_columns(folder / "columns.parquet", blocks_of(rows))
    assert (folder / "rows.parquet").read_bytes() == (folder / "columns.parquet").read_bytes()


@given(rows=rows_strategy)
def test_sentences_come_back(rows: list[tuple[str, Sentence]]) -> None:
    made = columns_of(rows)
    made.validate()
    for (_, one), back in zip(rows, made.sentences(), strict=True):
        assert (back.text, back.words) == (one.text, one.words)
        for layer in TAGSETS:
            labels = one.layers.get(layer, ())
            assert [*back.layers.get(layer, ())] == ([*labels] if any(labels) else [])


@given(
    text=st.text("中国 \u3000\x1fa", max_size=6),
    words=st.lists(st.tuples(st.integers(-1, 7), st.integers(-1, 7)), max_size=4),
)
def test_columns_are_checked_as_sentences_are(text: str, words: list[tuple[int, int]]) -> None:
    spans = np.array(words, dtype=np.int64).reshape(-1, 2)
    both = [Sentence("中", ((0, 1),), {}), Sentence(text, tuple(words), {})]
    made = Columns(
        ["中", text], ["a", "b"], np.array([1, len(words)]), np.concatenate([[[0, 1]], spans]), {}
    )
    try:
        for one in both:
            one.validate("s: document 'b'")
    except UserError as error:
        with pytest.raises(UserError) as caught:
            made.validate("s")
        assert str(caught.value) == str(error)
    else:
        made.validate("s")
