"""The quick road gives what the crate gives, piece for piece and span for span."""

from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.text import char_table
from hanmo.text.char_table import CharTable
from hanmo.text.wordpiece import build, encode_rows

# One character or more of every behaviour: alone, blank, dropped, part of a word, decomposed,
# reordered, new to Unicode since the crate's tables, above the basic plane, lone surrogate.
KINDS = (
    "中国，!\u2028 \n\u3000\u200b\x00\ufffdaZéß1İΣσかがｱ한각\uf900豈𠀀𫠠😀\u0301\u0327\u0f71"
    "\U0001d165\U0001d16d\u2e5d\u1734\u166d\U00011938\U000111c9\ue000\u037e\ud800"
)
mixed = st.text(st.sampled_from(KINDS) | st.characters(exclude_categories=()), max_size=30)


@pytest.fixture(scope="module")
def id_of(vocab: list[str]) -> dict[str, int]:
    return {piece: i for i, piece in enumerate(vocab)}


@pytest.fixture(scope="module")
def table(id_of: dict[str, int]) -> CharTable:
    return CharTable(id_of)


def assert_same(id_of: dict[str, int], table: CharTable, texts: list[str]) -> None:
    exact = encode_rows(build(id_of), texts)
    joined, starts, counts = table.encode_joined(texts)
    ends = accumulate((len(text) + 1 for text in texts), initial=0)
    assert [*starts.tolist(), sum(len(text) + 1 for text in texts)] == list(ends)
    assert counts.tolist() == [len(rows) for rows in exact]
    moved = [row for rows, at in zip(exact, starts, strict=True) for row in rows + [0, at, at]]  # noqa: RUF005
    assert joined.tolist() == [row.tolist() for row in moved]
    for text, rows, (ids, spans) in zip(texts, exact, table.encode_batch(texts), strict=True):
        assert rows[:, 0].tolist() == ids.tolist(), ascii(text)
        assert rows[:, 1:].tolist() == spans.tolist(), ascii(text)


@given(texts=st.lists(mixed, max_size=8))
def test_any_text(id_of: dict[str, int], table: CharTable, texts: list[str]) -> None:
    assert_same(id_of, table, texts)


def test_every_kind_of_character_between_letters_and_characters(
    id_of: dict[str, int], table: CharTable
) -> None:
    codes = [*range(0x250), *range(0x250, 0x30000, 151), 0x2B820, 0xE0100]
    texts = [f"a{char}\u0301{char}中{char}1" for char in map(chr, codes)]
    assert_same(id_of, table, texts)


@pytest.mark.slow
def test_every_character(id_of: dict[str, int], table: CharTable) -> None:
    assert_same(id_of, table, [f"a{chr(code)}中{chr(code)}" for code in range(0x110000)])


def test_words_longer_than_the_limit(id_of: dict[str, int], table: CharTable) -> None:
    texts = ["a" * n + tail for n in (99, 100, 101, 300) for tail in ("", "\u0301", "中", "\u200b")]
    assert_same(id_of, table, texts)


def test_groups_and_a_full_memory_change_nothing(
    id_of: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"中国hello{i}，{'x' * (i % 7)} café" for i in range(60)]
    monkeypatch.setattr(char_table, "_GROUP_CHARS", 50)
    monkeypatch.setattr(char_table, "_MAX_WORDS", 4)
    assert_same(id_of, CharTable(id_of), texts)


def test_an_odd_character_sends_its_text_through_the_crate(
    id_of: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No character is odd in today's tables; make one so.
    ask = CharTable._ask
    monkeypatch.setattr(
        CharTable, "_ask", lambda self, char: char_table._ODD if char == "国" else ask(self, char)
    )
    assert_same(id_of, CharTable(id_of), ["中国 hello", "国", "人民", "中", "国大"])


def test_threads_share_a_table(id_of: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(char_table, "_MAX_WORDS", 5)
    shared = CharTable(id_of)
    texts = [f"hello{i} 中{i % 7}国 café" for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: shared.encode_batch([text])[0], texts))
    for rows, (ids, spans) in zip(encode_rows(build(id_of), texts), found, strict=True):
        assert rows[:, 0].tolist() == ids.tolist()
        assert rows[:, 1:].tolist() == spans.tolist()


def test_results_are_plain_arrays(table: CharTable) -> None:
    ids, spans = table.encode_batch(["中国 hello"])[0]
    assert (ids.dtype, spans.dtype) == (np.int32, np.int32)
    assert ids.flags.c_contiguous
    assert spans.flags.c_contiguous
