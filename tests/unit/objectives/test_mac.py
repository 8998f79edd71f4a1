"""MacBERT's rules: what stands in for a word, what becomes of words without a similar one."""

import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.data.ragged import Sequences
from hanmo.objectives import _masking
from hanmo.objectives._objective import Vocabulary
from hanmo.objectives._similar import build_table
from hanmo.objectives.mac import Objective
from hanmo.objectives.synonyms import cilin, word2vec
from training_cases import CHARACTERS, random_sequence, tokenizer, vocabulary_for

C = CHARACTERS
GROUPS = [C[:5], [C[10] + C[11], C[12] + C[13], C[14] + C[15]], [C[20] + C[21] + C[22], C[3]]]
DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "lexicon"


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mac") / "cilin.txt"
    lines = [f"Aa01A{i:02d}= {' '.join(group)}" for i, group in enumerate(GROUPS)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def sequence_of(words: list[str]) -> Sequences:
    """[CLS] words [SEP], a piece a character."""
    made = random_sequence(np.random.default_rng(0), [len(word) for word in words])
    made.input_ids[1:-1] = [tokenizer().id_of[character] for word in words for character in word]
    return made


def texts(ids: Any) -> list[str]:
    return [tokenizer().vocab[i] for i in ids]


def corrupt(objective: Objective, sequence: Sequences, seed: int, words: Vocabulary) -> Any:
    return objective.corrupt(sequence, Draws.of(seed, sequence.offsets), words)


def test_similar_words_stand_in_and_the_rest_is_left_alone(lexicon: Path) -> None:
    objective = Objective(synonyms=str(lexicon), rate=0.5, ngram=(1.0,), shares=(1.0, 0.0, 0.0))
    words = vocabulary_for(objective)
    sequence = sequence_of([C[0], GROUPS[1][0], C[1], GROUPS[1][1], C[2]])
    seen = set()
    for seed in range(60):
        made = corrupt(objective, sequence, seed, words)
        ids = made.inputs["input_ids"]
        assert made.counts["no_similar_word"] == 0
        np.testing.assert_array_equal(made.targets["pieces"], sequence.input_ids[made.positions])
        chosen = np.zeros(len(ids), dtype=bool)
        chosen[made.positions] = True
        np.testing.assert_array_equal(ids[~chosen], sequence.input_ids[~chosen])
        for begin, n, group in ((1, 1, 0), (2, 2, 1), (4, 1, 0), (5, 2, 1), (7, 1, 0)):
            before, after = sequence.input_ids[begin : begin + n], ids[begin : begin + n]
            if chosen[begin]:
                word = "".join(texts(after))
                assert word in GROUPS[group]
                assert word != "".join(texts(before))
                seen.add(word)
    assert seen == {*GROUPS[0], *GROUPS[1]}


@pytest.mark.parametrize("fallback", ["random", "keep", "mask", "skip"])
def test_words_without_a_similar_one(fallback: Any, lexicon: Path) -> None:
    objective = Objective(
        synonyms=str(lexicon), rate=0.6, ngram=(1.0,), shares=(1.0, 0.0, 0.0), fallback=fallback
    )
    words = vocabulary_for(objective)
    # Unknown: a single character, one of three (whose group has no other of three), one of seven.
    known, unknown = [C[0], GROUPS[1][2]], [C[99], GROUPS[2][0], "".join(C[100:107])]
    sequence = sequence_of([*known, *unknown])
    lacking = 0
    for seed in range(80):
        made = corrupt(objective, sequence, seed, words)
        ids, chosen = made.inputs["input_ids"], set(made.positions.tolist())
        lacking += made.counts["no_similar_word"]
        for begin, n in ((4, 1), (5, 3), (8, 7)):
            before, after = sequence.input_ids[begin : begin + n], ids[begin : begin + n]
            if begin not in chosen:
                np.testing.assert_array_equal(after, before)
            elif fallback == "mask":
                assert texts(after) == ["[MASK]"] * n
            elif fallback == "keep":
                np.testing.assert_array_equal(after, before)
            elif fallback == "random" and n == 3:
                assert "".join(texts(after)) == GROUPS[2][0], "the only word of three"
            elif fallback == "random" and n == 1:
                assert "".join(texts(after)) in {*GROUPS[0], C[3]}
            else:
                assert fallback == "random", "skip: never chosen"
                assert not set(texts(after)) & {"[MASK]", "[unused1]", "[CLS]"}
    assert (lacking == 0) == (fallback == "skip")


words_lists = st.lists(st.integers(1, 4), min_size=1, max_size=50)


@given(
    lengths=words_lists,
    seed=st.integers(0, 10**6),
    fallback=st.sampled_from(["random", "keep", "mask", "skip"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_budget_specials_and_whole_words(
    lengths: list[int], seed: int, fallback: Any, lexicon: Path
) -> None:
    objective = Objective(synonyms=str(lexicon), fallback=fallback, rate=0.3)
    sequence = random_sequence(np.random.default_rng(seed), lengths)
    made = corrupt(objective, sequence, seed, vocabulary_for(objective))
    chosen = np.zeros(len(sequence.input_ids), dtype=bool)
    chosen[made.positions] = True
    assert chosen.sum() <= _masking.budgets(sequence, 0.3)[0]
    assert not chosen[~sequence.maskable].any()
    word = np.cumsum(sequence.word_starts)
    for number in np.unique(word):
        assert len(set(chosen[word == number].tolist())) == 1
    if fallback != "mask":
        assert "[MASK]" not in texts(made.inputs["input_ids"])


def test_shares_are_drawn_for_each_word(lexicon: Path) -> None:
    objective = Objective(synonyms=str(lexicon), rate=0.5)
    words = vocabulary_for(objective)
    sequence = sequence_of([C[i % 5] for i in range(500)])
    kept = similar = chosen = 0
    for seed in range(20):
        made = corrupt(objective, sequence, seed, words)
        after = made.inputs["input_ids"][made.positions]
        kept += int((after == made.targets["pieces"]).sum())
        similar += made.counts["to_replace"]
        chosen += len(after)
    assert similar / chosen == pytest.approx(0.8, abs=0.03)
    # Kept, or by chance replaced by itself: a random word is one of six (five and C[3] again).
    assert kept / chosen == pytest.approx(0.1 + 0.1 / 6, abs=0.03)


def test_random_words_know_each_word_once() -> None:
    table = build_table(iter([("一二", ["三四"]), ("三四", ["一二"])]), _Letters())
    assert sorted(table.of_length) == [2]
    assert len(table.of_length[2]) == 2


class _Letters:
    """A tokenizer of one piece a character."""

    unk_id = 0

    def encode_batch(self, texts: list[str]) -> list[Any]:
        return [type("E", (), {"ids": np.array([ord(c) for c in text])}) for text in texts]


def test_cilin_s_lines(tmp_path: Path) -> None:
    text = (
        "A 人\nAa  人-泛称\nAa01 人 我\nAa01A01= 人 士\nAa01A02# 男 女\nAa01A03@ 独\n\nAa01A04=\n"
    )
    expected = [("人", ["士"]), ("士", ["人"])]
    plain = tmp_path / "plain.txt"
    plain.write_bytes(text.replace("\n", "\r\n").encode("gb18030"))
    assert list(cilin.Source().groups(plain)) == expected
    packed = tmp_path / "packed.txt.xz"
    packed.write_bytes(lzma.compress(text.encode()))
    related = [("男", ["女"]), ("女", ["男"])]
    assert list(cilin.Source(related=True).groups(packed)) == expected + related


VECTORS = "5 2\n人 1 0\n士 0.9 0.1\n物 0 1\n人士 1 0.1\n人物 0.8 0.1\n"


def test_word_vectors_give_the_nearest_of_the_same_length(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(VECTORS, encoding="utf-8")
    found = dict(word2vec.Source().groups(path))
    assert found == {"人": ["士"], "士": ["人"], "人士": ["人物"], "人物": ["人士"]}
    assert dict(word2vec.Source(similarity=-1.0, most=3).groups(path)) == {
        "人": ["士", "物"],
        "士": ["人", "物"],
        "物": ["士", "人"],
    }
    objective = Objective(
        synonyms=str(path), source="word2vec", source_options={"neighbours": 1.0, "similarity": -1}
    )
    assert [word for word, _ in objective._groups()]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, {}, "no such file"),
        ("", {}, "no groups of words in it"),
        ("Aa01A01= 㐀 㐁\n", {}, "none of its words has a similar one"),
        ("x", {"source": "cilim"}, "'cilim'.*cilin"),
        ("x", {"source_options": {"relatd": 1}}, "cilin has no 'relatd'; expected related"),
        ("x", {"source": "word2vec"}, ":1: not word2vec's text format"),
        ("2 2\n人 1 0\n", {"source": "word2vec"}, ":3: not word2vec's text format"),
        ("2 2\n人 1 0\n士 1\n", {"source": "word2vec"}, ":3: not word2vec's text format"),
    ],
)
def test_files_and_options_that_do_not_fit_are_named(
    content: str | None, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        vocabulary_for(Objective(synonyms=str(path), **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"mac\.synonyms: missing; give a file"),
        ({"fallback": "drop"}, r"mac\.fallback: got 'drop'; expected one of random"),
        ({"shares": (0.5, 0.5)}, r"mac\.shares"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        vocabulary_for(Objective(**options))


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the lexicon of ../shared/data")
def test_the_real_cilin_covers_most_words() -> None:
    groups = dict(cilin.Source().groups(DATA / "cilin.utf8.txt.xz"))
    assert len(groups) > 40_000
    assert "人物" in groups["人士"]
