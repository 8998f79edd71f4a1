"""Joining words: entities stay whole, arcs stay a tree, labels follow the head."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hanmo.annotate.bieos import bieos_to_spans, repair
from hanmo.annotate.conllu import find_cycle
from hanmo.annotate.tagsets import TAGSETS, label_ids
from hanmo.annotate.treebank import zip_treebank
from hanmo.annotate.ud import Converted, convert
from hanmo.annotate.word_merge import merge_words


def sentence(rows: str, text: str = "") -> Converted:
    """Build a sentence from `form/pos/head/dep/ner` items."""
    forms, pos, heads, dep, ner = zip(*(item.split("/") for item in rows.split()), strict=True)
    return Converted(text or "".join(forms), forms, pos, dep, tuple(map(int, heads)), ner)


def show(merged: Converted) -> str:
    assert merged.ner is not None
    items = (merged.forms, merged.pos, merged.heads, merged.dep, merged.ner)
    return " ".join("/".join(map(str, item)) for item in zip(*items, strict=True))


def test_suffix_prefix_and_date() -> None:
    rows = (
        "1990/nt/2/ATT/O 年/nt/5/ADV/O 记/v/4/ATT/O 者/k/5/SBV/O 见/v/0/HED/O "
        "副/h/7/ATT/O 主席/n/5/VOB/O"
    )
    assert show(merge_words(sentence(rows))) == (
        "1990年/nt/3/ADV/O 记者/n/3/SBV/O 见/v/0/HED/O 副主席/n/3/VOB/O"
    )


def test_a_chain_of_suffixes_inside_an_entity() -> None:
    rows = "位于/v/0/HED/O 江苏/ns/3/ATT/B-Ns 省/k/5/ATT/I-Ns 南京/ns/5/ATT/I-Ns 市/k/1/VOB/E-Ns"
    assert show(merge_words(sentence(rows))) == (
        "位于/v/0/HED/O 江苏省/n/3/ATT/B-Ns 南京市/n/1/VOB/E-Ns"
    )
    rows = "到/v/0/HED/O 南京/ns/3/ATT/B-Ns 市/k/1/VOB/E-Ns"
    assert show(merge_words(sentence(rows))) == "到/v/0/HED/O 南京市/ns/1/VOB/S-Ns"
    rows = "帕金森/nz/2/ATT/O 氏/k/3/ATT/O 症/k/0/HED/O"
    assert show(merge_words(sentence(rows))) == "帕金森氏症/n/0/HED/O"


def test_what_stays_apart() -> None:
    for rows, text in [
        ("美国/ns/2/ATT/S-Ns 人/k/0/HED/O", ""),  # an entity ends between them
        ("孩子/n/0/HED/O 们/k/1/RAD/O", ""),  # 们 is a word in LTP
        ("三/m/2/ATT/O 年/q/0/HED/O", ""),  # a duration
        ("记/v/2/ATT/O 者/k/0/HED/O", "记 者"),  # white space between them
    ]:
        given_rows = sentence(rows, text)
        assert merge_words(given_rows) is given_rows


@given(st.data())
def test_any_sentence_stays_consistent(data: st.DataObject) -> None:
    n_words = data.draw(st.integers(1, 8))
    order = data.draw(st.permutations(range(n_words)))
    heads = [0] * n_words
    for rank, word in enumerate(order[1:], 1):
        heads[word] = order[data.draw(st.integers(0, rank - 1))] + 1
    labels = [
        data.draw(st.lists(st.sampled_from(values), min_size=n_words, max_size=n_words))
        for values in (["年", "者", "化", "副", "北京"], ["n", "k", "h", "nt", "v"], TAGSETS["ner"])
    ]
    forms, pos, ner = (tuple(values) for values in labels)
    dep = tuple("HED" if head == 0 else "ATT" for head in heads)
    before = Converted("".join(forms), forms, pos, dep, tuple(heads), repair(ner))
    after = merge_words(before)
    assert "".join(after.forms) == before.text
    assert find_cycle(after.heads) is None
    assert [head == 0 for head in after.heads] == [label == "HED" for label in after.dep]
    assert entity_strings(after) == entity_strings(before)


def entity_strings(sentence: Converted) -> list[tuple[str, str]]:
    assert sentence.ner is not None
    spans = bieos_to_spans(sentence.ner)
    return [("".join(sentence.forms[start:end]), kind) for start, end, kind in spans]


def test_the_treebank_keeps_its_entities(data_dir: Path) -> None:
    zipped = zip_treebank(
        data_dir / "treebank/ud_gsdsimp/zh_gsdsimp-ud-dev.conllu.xz",
        data_dir / "ner/uner_gsdsimp/zh_gsdsimp-ud-dev.iob2.xz",
    )
    before = [convert(tree, entities) for tree, entities in zipped.sentences]
    after = [merge_words(item) for item in before]
    for old, new in zip(before, after, strict=True):
        assert entity_strings(old) == entity_strings(new)
        label_ids("pos", new.pos)
        assert find_cycle(new.heads) is None
    shrinkage = sum(len(x.forms) for x in after) / sum(len(x.forms) for x in before)
    assert 0.85 < shrinkage < 0.98  # GSD cuts off about one suffix in twenty words
