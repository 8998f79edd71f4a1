"""The contract of annotators, run over every file in `annotate/annotators`."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import annotator_cases
from hanmo.annotate.conllu import Tree, format_tree, join_forms
from hanmo.annotate.sentence import Annotator, Sentence
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core import registry

PACKAGE = "hanmo.annotate.annotators"
TEXTS = [
    "",
    "我们昨天去了北京大学。",
    "他 说：“走吧！”",
    "😀👨‍👩‍👧‍👦 が 𠮷野家 e\u0301",
    "NBA's A-b C3PO http://a.cn/?x=1 3.14% １２Ａ",
    "１９４５年２０世纪",
    "……——《》",
    "\u3000前后\u3000",
    "繁體中文也可以。",
    "不能太长的句子" * 1500,  # 10,500 characters
]
Run = Callable[[Sequence[str]], list[Sentence]]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the annotators that need a model get one."""
    return tmp_path_factory.mktemp("models")


def in_its_form(annotator: Annotator, text: str) -> str:
    """Return a text as the annotator takes it: one for annotated files gets its own format."""
    forms = tuple(text.split())
    if not hasattr(annotator, "read_documents") or not forms:
        return text
    n_words, blank = len(forms), ("_",) * len(forms)
    pos, dep = ("n",) * n_words, ("HED",) + ("ATT",) * (n_words - 1)
    heads = tuple(range(n_words))
    return format_tree(Tree(forms, blank, pos, heads, dep, blank, join_forms(forms)))


@pytest.fixture(params=registry.names(PACKAGE))
def annotator(request: pytest.FixtureRequest, models: Path) -> Annotator:
    options = annotator_cases.options_of(request.param, models)
    made: Annotator = registry.load(PACKAGE, request.param).Annotator(**options)
    return made


def annotate(annotator: Annotator, texts: Sequence[str]) -> list[Sentence]:
    return annotator.annotate([in_its_form(annotator, text) for text in texts])


def test_words_tile_the_text_and_labels_are_of_the_inventory(annotator: Annotator) -> None:
    sentences = annotate(annotator, TEXTS)
    assert len(sentences) == len(TEXTS)
    for text, sentence in zip(TEXTS, sentences, strict=True):
        sentence.validate()
        assert "".join(sentence.forms).split() == "".join(text.split()).split()
        assert bool(sentence.words) == bool(text)
    if not hasattr(annotator, "read_documents"):
        assert [sentence.text for sentence in sentences] == TEXTS


def test_declared_layers_are_what_is_filled(annotator: Annotator) -> None:
    assert set(annotator.layers) <= set(TAGSETS)
    reads_files = hasattr(annotator, "read_documents")  # then the file decides
    for sentence in annotate(annotator, TEXTS[1:]):
        filled = set(sentence.layers)
        assert filled <= set(annotator.layers) if reads_files else filled == set(annotator.layers)


def test_the_same_text_gives_the_same_sentence_alone_or_in_company(annotator: Annotator) -> None:
    together = annotate(annotator, TEXTS)
    assert annotate(annotator, TEXTS) == together
    assert [annotate(annotator, [text])[0] for text in reversed(TEXTS)] == together[::-1]
    assert annotate(annotator, []) == []


def test_options_have_defaults_and_are_documented(annotator: Annotator) -> None:
    documented = type(annotator).__doc__ or ""
    for option in dataclasses.fields(annotator):  # type: ignore[arg-type]
        assert f"{option.name}:" in documented
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(annotator, dataclasses.fields(annotator)[0].name, None)  # type: ignore[arg-type]


def test_counting_gives_the_same_sentences(annotator: Annotator) -> None:
    if not hasattr(annotator, "annotate_counted"):
        return
    sentences, counts = annotator.annotate_counted(TEXTS)
    assert sentences == annotate(annotator, TEXTS)
    assert all(number > 0 for number in counts.values())


@pytest.mark.parametrize("name", registry.names(PACKAGE))
def test_every_annotator_says_what_it_is(name: str) -> None:
    assert registry.summary(PACKAGE, name).endswith(".")
