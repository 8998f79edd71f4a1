"""Batched decoding: equal to CRFsuite's own tagger, and to trying all label sequences."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.annotate import _crf_features as features
from hanmo.annotate import _crf_word_scores
from hanmo.annotate._crf_model import SHIPPED, TASKS, _check_card, load_model, tagger_path
from hanmo.annotate._crf_viterbi import (
    Chain,
    best_path,
    exactly_once_chain,
    plain_chain,
    restricted_chain,
)
from hanmo.annotate._crf_weights import read_weights
from hanmo.core.errors import UserError

SENTENCES = [
    "2004年，他在北京大学工作，并且认识了张教授。",
    "天气真的很好！",
    "我们把iPhone15和Windows 11都买回来了",
    "中华人民共和国国务院总理访问法国巴黎，受到热烈欢迎；双方看了看展览。",
    "龘",
]


def best_by_trial(emissions: np.ndarray, chain: Chain) -> tuple[float, set[tuple[int, ...]]]:
    """Return the best score and the label sequences that reach it, by trying all state paths."""
    scores: dict[tuple[int, ...], float] = {}
    n_states = len(chain.labels)
    for path in itertools.product(range(n_states), repeat=len(emissions)):
        score = chain.first[path[0]] + chain.last[path[-1]]
        score += sum(emissions[i, chain.labels[state]] for i, state in enumerate(path))
        score += sum(chain.transitions[pair] for pair in itertools.pairwise(path))
        scores[path] = score
    best = max(scores.values())
    close = {tuple(int(chain.labels[s]) for s in p) for p, v in scores.items() if v > best - 1e-3}
    return best, close


def chains(transitions: np.ndarray) -> list[Chain]:
    return [
        plain_chain(transitions),
        restricted_chain(transitions, "xyz", lambda a, b: a + b not in ("x", "zz")),
        exactly_once_chain(transitions, 1),
    ]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_best_path_equals_trying_all(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    emissions = rng.normal(size=(sum(lengths), 3)).astype(np.float32)
    for chain in chains(rng.normal(size=(3, 3)).astype(np.float32)):
        path = best_path(emissions, np.array(lengths), chain)
        start = 0
        for length in lengths:
            best, expected = best_by_trial(emissions[start : start + length], chain)
            assert best > -1e29
            assert tuple(path[start : start + length].tolist()) in expected
            start += length


def test_exactly_once() -> None:
    chain = exactly_once_chain(np.zeros((3, 3), dtype=np.float32), 1)
    emissions = np.array([[0, 5, 0], [0, 6, 0], [0, 5, 1], [9, 0, 0]], dtype=np.float32)
    assert best_path(emissions, np.array([3, 1]), chain).tolist() == [0, 1, 2, 1]


@pytest.fixture(scope="module")
def crfsuite() -> dict[str, object]:
    pycrfsuite = pytest.importorskip("pycrfsuite")
    opened = {}
    for task in TASKS:
        opened[task] = pycrfsuite.Tagger()
        opened[task].open(str(tagger_path(SHIPPED, task)))
    return opened


@pytest.mark.parametrize("most_words", [1 << 16, 3])
def test_scores_equal_crfsuites(
    crfsuite: dict[str, object], most_words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_crf_word_scores, "_MOST_WORDS", most_words)
    monkeypatch.setattr(_crf_word_scores, "_LEANING", 0)  # ours: CRFsuite knows nothing of signs
    model = load_model(SHIPPED)
    forms = [features.unit_forms(text) for text in SENTENCES]
    rows = [features.segmentation_features(units) for units in forms]
    check("cws", model.segmentation.emissions(forms), rows, crfsuite)
    for _ in range(2):  # the second time after the table has been begun again
        scorer, words = model.words, [features.word_features(units) for units in forms]
        lengths = [len(units) for units in forms]
        table = scorer.words(forms)
        pos = check("pos", scorer.pos_emissions(table, lengths), words, crfsuite)
        tags = scorer.tag_numbers(pos)
        rows = [features.entity_features(w, p) for w, p in zip(words, pos, strict=True)]
        check("ner", scorer.entity_emissions(table, tags, lengths), rows, crfsuite)
        rows = [
            features.relation_features(w, f, p) for w, f, p in zip(words, forms, pos, strict=True)
        ]
        check("dep", scorer.relation_emissions(table, tags, forms, pos), rows, crfsuite)


def check(
    task: str, emissions: np.ndarray, rows: list[list[features.Row]], crfsuite: dict[str, object]
) -> list[list[str]]:
    """Compare scores with the sums of the weights, and labels with CRFsuite's; return these."""
    weights = read_weights(tagger_path(SHIPPED, task))
    expected = [
        sum(
            (weights.state[weights.attributes[a]] for a in row if a in weights.attributes),
            start=np.zeros(len(weights.labels), dtype=np.float32),
        )
        for sentence in rows
        for row in sentence
    ]
    np.testing.assert_allclose(emissions, expected, rtol=0, atol=1e-4)
    labels = [crfsuite[task].tag(sentence) for sentence in rows]  # type: ignore[attr-defined]
    lengths = np.array([len(sentence) for sentence in rows])
    path = best_path(emissions, lengths, plain_chain(weights.transitions))
    assert [weights.labels[k] for k in path] == [x for sentence in labels for x in sentence]
    return labels


def test_weights_of_a_damaged_file_are_refused(tmp_path: Path) -> None:
    raw = tagger_path(SHIPPED, "dep").read_bytes()
    path = tmp_path / "dep.crfsuite"
    for size in (0, 10, 47, 60, len(raw) // 2, len(raw) - 1000):
        path.write_bytes(raw[:size])
        with pytest.raises(UserError, match="not a CRFsuite model"):
            read_weights(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="begins with"):
        read_weights(path)


def test_a_file_that_the_system_cannot_read_is_not_damaged(tmp_path: Path) -> None:
    for read in (read_weights, _check_card):
        with pytest.raises(IsADirectoryError):
            read(tmp_path)
