"""The jieba annotator: both engines, with and without tags."""

import importlib.util
import pickle
from dataclasses import replace

import pytest

from hanmo.annotate.annotators.jieba import Annotator
from hanmo.core.errors import UserError

TEXT = "我们 昨天去了北京大学，NBA 有12支球队😀。"


@pytest.mark.parametrize("engine", ["rjieba", "jieba"])
def test_words_and_tags(engine: str) -> None:
    pytest.importorskip(engine)
    [sentence] = Annotator(engine=engine).annotate([TEXT])  # type: ignore[arg-type]
    sentence.validate()
    tagged = dict(zip(sentence.forms, sentence.layers["pos"], strict=True))
    expected = {"我们": "r", "昨天": "nt", "北京大学": "ni", "，": "wp", "NBA": "ws", "😀": "wp"}
    assert expected.items() <= tagged.items()
    assert " " not in tagged


@pytest.mark.parametrize("engine", ["rjieba", "jieba"])
def test_without_tags_the_words_stay(engine: str) -> None:
    pytest.importorskip(engine)
    with_tags = Annotator(engine=engine)  # type: ignore[arg-type]
    without = Annotator(engine=engine, pos=False)  # type: ignore[arg-type]
    assert (with_tags.layers, without.layers) == (("pos",), ())
    [sentence] = without.annotate([TEXT])
    assert sentence.layers == {}
    assert sentence.words == with_tags.annotate([TEXT])[0].words


def test_unknown_words_are_found_with_hmm_only() -> None:
    text = "特朗茨基来到了杭研大厦"
    [found] = Annotator(engine="rjieba").annotate([text])
    [cut] = Annotator(engine="rjieba", hmm=False).annotate([text])
    assert "特朗茨基" in found.forms
    assert "特朗茨基" not in cut.forms


def test_auto_takes_rjieba_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "hanmo.annotate.annotators.jieba._engine",
        lambda name, pos: (asked.append(name), lambda text, hmm: [(text, "n")])[1],
    )
    first = Annotator()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    second = Annotator()
    assert (first.engine, second.engine) == ("rjieba", "jieba")
    for annotator in (first, second, pickle.loads(pickle.dumps(first)), replace(first, pos=False)):
        annotator.annotate(["我"])
    assert asked == ["rjieba", "jieba", "rjieba", "rjieba"]


def test_an_absent_engine_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from hanmo.annotate.annotators import jieba

    def refuse(name: str) -> None:
        raise ImportError(name)

    jieba._engine.cache_clear()
    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(UserError, match=r"pip install 'hanmo\[jieba\]'"):
        Annotator(engine="jieba").annotate(["我"])
