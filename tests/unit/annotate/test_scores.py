"""Agreement of two annotations: counted by hand, and its invariants."""

import pytest

from hanmo.annotate.scores import entity_score, label_accuracy, labelled_word_score, word_score
from hanmo.annotate.sentence import Sentence, locate_words
from hanmo.core.errors import UserError

TEXT = "张三在北京大学"


def sentence(words: str, pos: str, ner: str) -> Sentence:
    forms = words.split()
    layers = {"pos": tuple(pos.split()), "ner": tuple(ner.split())}
    return Sentence(TEXT, locate_words(TEXT, forms), layers)


GOLD = [sentence("张三 在 北京 大学", "nh p ns n", "S-Nh O B-Ni E-Ni")]
FOUND = [sentence("张 三 在 北京 大学", "nh m p n n", "B-Nh E-Nh O S-Ns O")]


def test_words() -> None:
    score = word_score(GOLD, FOUND)
    assert (score.n_gold, score.n_predicted, score.n_correct) == (4, 5, 3)
    assert score.precision == pytest.approx(3 / 5)
    assert score.recall == pytest.approx(3 / 4)
    assert score.f1 == pytest.approx(2 * 0.6 * 0.75 / (0.6 + 0.75))
    assert score.as_dict() == {"precision": 60.0, "recall": 75.0, "f1": 66.67, "gold": 4}


def test_labels() -> None:
    assert label_accuracy(GOLD, FOUND, "pos") == pytest.approx(2 / 3)  # of 在 北京 大学
    score = labelled_word_score(GOLD, FOUND, "pos")
    assert (score.n_gold, score.n_predicted, score.n_correct) == (4, 5, 2)


def test_entities_are_character_spans() -> None:
    score = entity_score(GOLD, FOUND)  # 张三 agrees although it is two words on one side
    assert (score.n_gold, score.n_predicted, score.n_correct) == (2, 2, 1)


def test_equal_annotations_agree_and_missing_labels_do_not_count() -> None:
    assert word_score(GOLD, GOLD).f1 == entity_score(FOUND, FOUND).f1 == 1
    holes = [Sentence(TEXT, GOLD[0].words, {"pos": (None, "p", None, "n")})]
    assert label_accuracy(holes, FOUND, "pos") == 1
    assert labelled_word_score(holes, holes, "pos").n_gold == 2


def test_nothing_found_is_zero() -> None:
    nothing = [Sentence(TEXT, (), {"pos": (), "ner": ()})]
    assert word_score(GOLD, nothing).f1 == 0
    assert word_score(nothing, nothing).precision == 0
    assert label_accuracy(nothing, GOLD, "pos") == 0


def test_different_texts_are_refused() -> None:
    with pytest.raises(UserError, match="sentence 1"):
        word_score(GOLD, [Sentence("别的", (), {})])
    with pytest.raises(UserError, match="1 gold sentences and 0"):
        word_score(GOLD, [])
    with pytest.raises(UserError, match="no layer 'dep'"):
        label_accuracy(GOLD, FOUND, "dep")
