"""Encoding: labels go to the pieces of their word, by definition and by hand-made cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.annotate import columns
from hanmo.annotate.sentence import Sentence
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.errors import UserError
from hanmo.data import encode
from hanmo.data.documents import Documents
from hanmo.data.encode import encode_documents, spread_entities
from hanmo.text.tokenizer import Tokenizer

PIECES = [*"哈尔滨工大位于冰城。我们去", "gpu", "##s", "b", "##ert", "2", "##0"]
TOKENIZER = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES])


def sentence(words: list[str], gaps: bool = False, **layers: list[str | None]) -> Sentence:
    spans, text = [], ""
    for word in words:
        text += " " if gaps and text else ""
        spans.append((len(text), len(text) + len(word)))
        text += word
    return Sentence(text, tuple(spans), {name: tuple(x) for name, x in layers.items()})


def encoded(*sentences: Sentence, ner_level: encode.NerLevel = "word") -> Documents:
    rows = [("a", one) for one in sentences]
    return encode_documents(rows, TOKENIZER, ner_level=ner_level)[0]


def names_of(layer: str, ids: np.ndarray) -> list[str | None]:
    return [TAGSETS[layer][number] if number >= 0 else None for number in ids]


def labels(documents: Documents, layer: str) -> str:
    """The labels of all pieces, "-" where one is missing."""
    return " ".join(label or "-" for label in names_of(layer, documents.layers[layer]))


def test_the_example_of_the_paper() -> None:
    one = sentence(
        ["哈工大", "位于", "冰城", "哈尔滨", "。"],
        pos=["j", "v", "n", "ns", "wp"],
        ner=["S-Ni", "O", "O", "S-Ns", "O"],
        dep=["SBV", "HED", "ATT", "VOB", "WP"],
    )
    documents = encoded(one, ner_level="char")
    assert [TOKENIZER.vocab[i] for i in documents.ids] == list("哈工大位于冰城哈尔滨。")
    assert documents.word_starts.tolist() == [1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1]
    assert labels(documents, "dep") == "SBV SBV SBV HED HED ATT ATT VOB VOB VOB WP"
    assert labels(documents, "pos") == "j j j v v n n ns ns ns wp"
    entity = "B-Ni I-Ni E-Ni O O O O B-Ns I-Ns E-Ns O"
    assert labels(documents, "ner") == entity
    copied = "S-Ni S-Ni S-Ni O O O O S-Ns S-Ns S-Ns O"
    assert labels(encoded(one), "ner") == copied


def test_an_entity_of_several_words_spreads_over_their_pieces() -> None:
    one = sentence(
        ["哈尔滨", "工大", "gpus", "去", "冰"], ner=["B-Ni", "I-Ni", "E-Ni", "O", "S-Ns"]
    )
    documents = encoded(one, ner_level="char")
    assert labels(documents, "ner") == "B-Ni I-Ni I-Ni I-Ni I-Ni I-Ni E-Ni O S-Ns"


@pytest.mark.parametrize("tag", TAGSETS["ner"])
@pytest.mark.parametrize("n_pieces", [1, 2, 3])
def test_every_entity_label_keeps_its_kind(tag: str, n_pieces: int) -> None:
    number = TAGSETS["ner"].index(tag)
    starts = np.arange(n_pieces) == 0
    spread = names_of("ner", spread_entities(np.full(n_pieces, number, np.int8), starts))
    assert {str(label).partition("-")[2] for label in spread} == {tag.partition("-")[2]}
    if n_pieces == 1:
        assert spread == [tag]


def test_missing_labels_stay_missing() -> None:
    with_pos = sentence(["我们", "去"], pos=["r", None], ner=[None, "O"])
    without = sentence(["冰城"])
    for level in ("word", "char"):
        documents = encoded(with_pos, without, ner_level=level)  # type: ignore[arg-type]
        assert labels(documents, "pos") == "r r - - -"
        assert labels(documents, "ner") == "- - O - -"
        assert "dep" not in documents.layers


def test_latin_digits_and_blanks() -> None:
    one = sentence(["GPUs", "200", "bert", "。"], gaps=True, pos=["ws", "m", "ws", "wp"])
    documents = encoded(one)
    pieces = [TOKENIZER.vocab[i] for i in documents.ids]
    assert pieces == ["gpu", "##s", "2", "##0", "##0", "b", "##ert", "。"]
    assert documents.word_starts.tolist() == [1, 0, 1, 0, 0, 1, 0, 1]
    assert labels(documents, "pos") == "ws ws m m m ws ws wp"


def test_words_that_share_a_piece_lose_their_labels_and_are_counted() -> None:
    one = sentence(["我", "qq", "zz", "们"], pos=["r", "ws", "ws", "k"])  # qqzz is one [UNK]
    documents, counts = encode_documents([("a", one)], TOKENIZER)
    assert labels(documents, "pos") == "r - k"
    assert documents.word_starts.tolist() == [1, 1, 1]
    assert counts["unaligned_words"] == 2
    assert counts["unknown_pieces"] == 1


def test_pieces_of_no_word_are_words_of_their_own() -> None:
    documents = encoded(Sentence("我们去", ((0, 1),), {"pos": ("r",)}))
    assert documents.word_starts.tolist() == [1, 1, 1]
    assert labels(documents, "pos") == "r - -"


def test_documents_end_where_the_id_changes_and_empty_ones_are_left_out() -> None:
    rows = [
        ("a", sentence(["我们"])),
        ("a", sentence(["去"])),
        ("b", Sentence("\u200b", (), {})),
        ("c", sentence(["冰城"], pos=["n"])),
        ("c", Sentence(" ", (), {})),
    ]
    documents, counts = encode_documents(rows, TOKENIZER)
    assert documents.sentence_starts.tolist() == [0, 2, 3, 5]
    assert documents.document_starts.tolist() == [0, 2, 3]
    assert counts == {
        "documents": 2,
        "sentences": 3,
        "empty_sentences": 2,
        "empty_documents": 1,
        "words": 3,
        "unaligned_words": 0,
        "pieces": 5,
        "unknown_pieces": 0,
        "labels_pos": 1,
    }


def test_no_rows_give_no_documents() -> None:
    documents, counts = encode_documents([], TOKENIZER)
    assert documents.sentence_starts.tolist() == documents.document_starts.tolist() == [0]
    assert (counts["documents"], counts["pieces"]) == (0, 0)


def test_a_label_outside_its_tag_set_is_named() -> None:
    with pytest.raises(UserError, match="unknown dep label 'SUB'"):
        encoded(sentence(["我们"], dep=["SUB"]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (Sentence("我们", ((0, 3),), {}), r"document b: word span \(0, 3\)"),
        (Sentence("我们", ((0, 2),), {"pos": ("r", "n")}), "document b: layer pos has 2 labels"),
    ],
)
def test_a_sentence_that_would_shift_its_neighbours_is_named(wrong: Sentence, message: str) -> None:
    rows = [("a", sentence(["我们"], pos=["r"])), ("b", wrong), ("b", sentence(["去"], pos=["v"]))]
    with pytest.raises(UserError, match=message):
        encode_documents(rows, TOKENIZER)


def test_ids_of_a_large_vocabulary_do_not_wrap() -> None:
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"x{i}" for i in range(70_000)), "我"]
    documents, _ = encode_documents([("a", sentence(["我"]))], Tokenizer(vocab))
    assert documents.ids.tolist() == [70_005]


word = st.text(alphabet="哈尔滨工大我们去gpusbert20。 qz", min_size=1, max_size=5).map(
    lambda text: text.strip() or "我"
)
sentence_strategy = st.lists(word, max_size=8).flatmap(
    lambda words: st.builds(
        sentence,
        st.just(words),
        gaps=st.booleans(),
        pos=st.lists(
            st.sampled_from([*TAGSETS["pos"], None]), min_size=len(words), max_size=len(words)
        ),
    )
)
rows_strategy = st.lists(st.tuples(st.sampled_from("ab"), sentence_strategy), max_size=12)


def reference(rows: list[tuple[str, Sentence]]) -> list[tuple[int, int, str | None, int, int]]:
    """(id, word start, label, starts a sentence, starts a document) of each piece, one by one."""
    pieces = []
    last_document = None
    document = -1
    previous_name = None
    for name, one in rows:
        document += name != previous_name
        previous_name = name
        encoding = TOKENIZER.encode(one.text)
        touched = [
            {w for w, (s, e) in enumerate(one.words) if s < end and start < e}
            for start, end in encoding.spans.tolist()
        ]
        spoilt = set().union(*(words for words in touched if len(words) > 1))
        last = None
        for place, (number, words) in enumerate(zip(encoding.ids, touched, strict=True)):
            owner = next(iter(words)) if len(words) == 1 and not words & spoilt else None
            starts = owner is None or owner != last
            label = None if owner is None else one.layers["pos"][owner]
            new_document = place == 0 and document != last_document
            pieces.append((int(number), int(starts), label, int(place == 0), int(new_document)))
            last, last_document = owner, document
    return pieces


@settings(deadline=None)
@given(rows_strategy)
def test_blocks_equal_a_piece_by_piece_reference(rows: list[tuple[str, Sentence]]) -> None:
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(columns, "BLOCK", 3)
        documents, counts = encode_documents(rows, TOKENIZER)
    sentences = np.zeros(len(documents.ids), dtype=int)
    sentences[documents.sentence_starts[:-1]] = 1
    starts = np.zeros(len(documents.ids), dtype=int)
    starts[documents.piece_offsets[:-1]] = 1
    empty = np.full(len(documents.ids), -1, dtype=np.int8)
    found = zip(
        documents.ids.tolist(),
        documents.word_starts.tolist(),
        names_of("pos", documents.layers.get("pos", empty)),
        sentences.tolist(),
        starts.tolist(),
        strict=True,
    )
    expected = reference(rows)
    assert list(found) == expected
    assert counts["words"] == sum(len(one.words) for _, one in rows)
    assert counts["labels_pos"] == sum(x is not None for _, one in rows for x in one.layers["pos"])
