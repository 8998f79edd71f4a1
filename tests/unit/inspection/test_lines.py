"""The cells of a line are its text, whatever the text is."""

from hypothesis import given
from hypothesis import strategies as st
from inspection_cases import FIRST, THIRD, sentence

from hanmo.annotate.sentence import Sentence
from hanmo.inspection.lines import is_unseen, line_of, line_of_pieces, visible
from hanmo.inspection.page import line_html
from hanmo.inspection.terminal import interlinear


@st.composite
def sentences(draw: st.DrawFn) -> Sentence:
    """Words of any characters, with or without white space between them."""
    solid = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()))
    parts = draw(st.lists(st.tuples(st.sampled_from(["", " ", "\u3000\t", "\n"]), solid)))
    text, words = "", []
    for gap, word in parts:
        text += gap
        words.append((len(text), len(text) + len(word)))
        text += word
    text += draw(st.sampled_from(["", " "]))
    labels = draw(
        st.lists(st.sampled_from(["n", "wp", None]), min_size=len(words), max_size=len(words))
    )
    return Sentence(text, tuple(words), {"pos": tuple(labels)})


@given(sentences())
def test_the_cells_of_a_sentence_are_its_text(one: Sentence) -> None:
    line = line_of(one)
    assert line.text == one.text
    assert line.to_json()["text"] == one.text
    words = line.to_json()["words"]
    assert [word["text"] for word in words] == one.forms
    if one.words:
        assert [word["pos"] for word in words] == list(one.layers["pos"])


@given(sentences(), st.integers(20, 120))
def test_a_terminal_shows_all_of_the_text_and_every_label(one: Sentence, columns: int) -> None:
    from rich.cells import cell_len

    line = line_of(one)
    printed = interlinear(line, columns=columns, indent="  ")
    assert all(sum(cell_len(text) for text, _ in row) <= columns for row in printed)
    words = {"word", "gap", "plain"}
    shown = "".join(text for row in printed for text, style in row if style in words)
    expected = visible(one.text)
    if one.words:
        expected = "".join("␣" if c.isspace() else c for c in expected)
        labels = [text for row in printed for text, style in row if style in ("row0", "faint")]
        assert labels == [label or "·" for label in one.layers["pos"]]
        assert shown == expected


@given(sentences())
def test_a_page_holds_all_of_the_text(one: Sentence) -> None:
    from html.parser import HTMLParser

    class Reader(HTMLParser):
        inside, text = 0, ""

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.inside += tag == "b"

        def handle_endtag(self, tag: str) -> None:
            self.inside -= tag == "b"

        def handle_data(self, data: str) -> None:
            self.text += data if self.inside else ""

    reader = Reader()
    reader.feed(line_html(line_of(one)))
    reader.close()
    assert reader.text == visible(one.text)


@given(st.text())
def test_what_can_be_seen_stays(text: str) -> None:
    shown = visible(text)
    assert not any(map(is_unseen, shown))
    if not any(map(is_unseen, text)):
        assert shown == text
    else:
        assert visible(shown) == shown


def test_what_cannot_be_seen_is_named() -> None:
    assert visible("a\u200b\x1b[31m\ue000 b") == "a<U+200B><U+001B>[31m<U+E000> b"


def test_what_lies_between_words_has_nothing_under_it() -> None:
    cells = line_of(sentence(THIRD)).cells
    assert [(cell.text, cell.style) for cell in cells][1:3] == [("playing", "word"), (" ", "gap")]
    assert cells[2].under == ()
    assert cells[3].under == ("ws", "O", None)


def test_the_layout_of_a_sentence() -> None:
    rows = interlinear(line_of(sentence(FIRST)), columns=40)
    assert ["".join(text for text, _ in row) for row in rows] == [
        "  他  去  了  上海 。",
        "  r   v   u   ns   wp",
        "  O   O   O   S-Ns O",
        "  SBV HED RAD VOB  WP",
    ]


pieces = st.lists(st.sampled_from(["中", "play", "##ing", "[UNK]", "😀"]), min_size=1)


@given(pieces, st.data())
def test_pieces_are_joined_into_words(found: list[str], data: st.DataObject) -> None:
    starts = data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    labels = ["n", None] * len(found)
    line = line_of_pieces(found, starts, {"pos": labels[: len(found)]}, unknown="[UNK]")
    assert line.text == "".join(found)
    assert len(line.cells) == 1 + sum(starts[1:])
    for cell in line.cells:
        assert (cell.style == "unknown") == ("[UNK]" in cell.text)


def test_labels_that_differ_inside_a_word_are_all_shown() -> None:
    labels = {"ner": ["B-Ns", "I-Ns", "E-Ns", "O", "O"], "pos": ["ns", "ns", "ns", None, None]}
    line = line_of_pieces(list("哈尔滨很大"), [True, False, False, True, False], labels, unknown="")
    assert [cell.under for cell in line.cells] == [("B-Ns/I-Ns/E-Ns", "ns"), ("O", None)]
