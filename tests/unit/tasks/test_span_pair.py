"""Two spans of a text: CLUE's marks, the ends of the spans, and windows that keep both."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hanmo.model.checkpoint import random_encoder
from hanmo.tasks.kind import Features, load_kind
from hanmo.tasks.kinds.span_pair import Kind, _marked
from hanmo.tasks.task import Example, Settings, Task
from kind_cases import ALPHABET, MIXED, packed
from training_cases import CHARACTERS, TINY, tokenizer

A, B, C, D = CHARACTERS[:4]
TASK = Task(
    name="toy",
    kind="span_pair",
    splits={},
    columns={},
    labels=("true", "false"),
    settings=Settings(max_length=64),
)


def make(style: str) -> Kind:
    kind = load_kind("span_pair", {"style": style})
    assert isinstance(kind, Kind)
    return kind


MARKED, ENDS = make("marked"), make("ends")


def row(text: str, one: tuple[int, int], two: tuple[int, int], label: Any = "true") -> Any:
    return {
        "text": text,
        "span1": text[slice(*one)],
        "span1_start": one[0],
        "span2": text[slice(*two)],
        "span2_start": two[0],
        "label": label,
    }


def read(text: str, one: tuple[int, int], two: tuple[int, int], label: Any = "true") -> Example:
    return MARKED.read("1", row(text, one, two, label), TASK, train=True)


def clue_text(text: str, query: str, query_idx: int, pronoun: str, pronoun_idx: int) -> str:
    """How CLUE's WSC processor marks the text."""
    text_a_list = list(text)
    if pronoun_idx > query_idx:
        text_a_list.insert(query_idx, "_")
        text_a_list.insert(query_idx + len(query) + 1, "_")
        text_a_list.insert(pronoun_idx + 2, "[")
        text_a_list.insert(pronoun_idx + len(pronoun) + 2 + 1, "]")
    else:
        text_a_list.insert(pronoun_idx, "[")
        text_a_list.insert(pronoun_idx + len(pronoun) + 1, "]")
        text_a_list.insert(query_idx + 2, "_")
        text_a_list.insert(query_idx + len(query) + 2 + 1, "_")
    return "".join(text_a_list)


@st.composite
def cases(draw: st.DrawFn, least: int = 2) -> tuple[str, tuple[int, int], tuple[int, int]]:
    """A text and two spans of it that do not overlap, in any order."""
    text = draw(st.text(ALPHABET, min_size=least, max_size=40))
    cuts = st.integers(0, len(text))
    a, b, c, d = sorted(draw(st.tuples(cuts, cuts, cuts, cuts)))
    assume(a < b and c < d and text.strip())
    spans = [(a, b), (c, d)]
    if draw(st.booleans()):
        spans.reverse()
    return text, spans[0], spans[1]


@settings(deadline=None)
@given(cases())
def test_the_marked_text_is_clues(case: tuple[str, tuple[int, int], tuple[int, int]]) -> None:
    text, one, two = case
    marked, spans = _marked(text, [one, two])
    assert marked == clue_text(text, text[slice(*one)], one[0], text[slice(*two)], two[0])
    assert [marked[slice(*span)] for span in spans] == [
        f"_{text[slice(*one)]}_",
        f"[{text[slice(*two)]}]",
    ]
    [sequence] = MARKED.encode(read(*case), TASK, MIXED).sequences
    whole = MIXED.encode(marked).ids.tolist()[:62]
    if len(whole) < 62:
        assert sequence.inputs["input_ids"].tolist() == [MIXED.cls_id, *whole, MIXED.sep_id]
    assert sequence.positions.tolist() == [0]
    assert sequence.targets["label"].tolist() == [0]


def test_both_orders_by_hand() -> None:
    text = "小明说他累了"
    assert _marked(text, [(0, 2), (3, 4)])[0] == "_小明_说[他]累了"
    assert _marked(text, [(3, 4), (0, 2)])[0] == "[小明]说_他_累了"
    assert _marked("他他", [(0, 1), (1, 2)])[0] == "_他_[他]", "side by side"


def pieces(one: Features) -> list[int]:
    [sequence] = one.sequences
    return sequence.inputs["input_ids"].tolist()


@settings(deadline=None)
@given(cases(least=10), st.integers(8, 40))
def test_the_ends_of_both_spans_are_asked(
    case: tuple[str, tuple[int, int], tuple[int, int]], max_length: int
) -> None:
    text, *spans = case
    task = dataclasses.replace(TASK, settings=Settings(max_length=max_length))
    encoding = MIXED.encode(text)
    ends = []
    for begin, stop in spans:
        mine = [i for i, (a, b) in enumerate(encoding.spans.tolist()) if a < stop and b > begin]
        assume(mine)
        ends += [mine[0], mine[-1]]
    one = ENDS.encode(read(*case), task, MIXED)
    [sequence] = one.sequences
    assert sequence.targets["label"].tolist() == [0, -1, -1, -1, -1]
    assert len(pieces(one)) == min(max_length, len(encoding) + 2)
    assert one.truncated == (len(encoding) + 2 > max_length)
    assert sequence.positions[0] == 0
    assert all(0 < place < len(pieces(one)) - 1 for place in sequence.positions.tolist()[1:])
    if max(ends) - min(ends) + 1 <= max_length - 2:
        places = sequence.positions[1:]
        assert [pieces(one)[place] for place in places] == encoding.ids[ends].tolist()
        assert (places - places[0]).tolist() == [end - ends[0] for end in ends]


@pytest.mark.parametrize("begin", [0, 5, 50, 90])
def test_a_window_keeps_both_spans_and_what_is_around_them(begin: int) -> None:
    text = "".join(CHARACTERS[:100])
    task = dataclasses.replace(TASK, settings=Settings(max_length=22))
    case = read(text, (begin, begin + 2), (begin + 6, begin + 8))
    for kind, room in ((ENDS, 20), (MARKED, 20)):
        one = kind.encode(case, task, MIXED)
        shown = [MIXED.vocab[i] for i in pieces(one)[1:-1]]
        assert len(shown) == room
        assert set(text[begin : begin + 8]) <= set(shown)
        assert one.truncated
    shown = [MIXED.vocab[i] for i in pieces(ENDS.encode(case, task, MIXED))[1:-1]]
    left = text.index(shown[0])
    assert left == min(max(0, begin - 6), 80), "as much to the left as to the right"


def test_spans_too_far_apart_keep_the_second() -> None:
    text = "".join(CHARACTERS[:100])
    task = dataclasses.replace(TASK, settings=Settings(max_length=12))
    one = ENDS.encode(read(text, (90, 92), (3, 4)), task, tokenizer())
    shown = [tokenizer().vocab[i] for i in pieces(one)[1:-1]]
    assert shown == CHARACTERS[82:92]
    assert one.sequences[0].positions.tolist() == [0, 9, 10, 1, 1]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"span1_start": 1}, f"span1_start: '{A}' is not at character 1 of the text; it is at 0"),
        ({"span1": D}, f"span1_start: '{D}' is not at character 0 of the text; it is nowhere"),
        ({"span2_start": -1}, f"span2_start: '{C}' is not at character -1 of the text; it is at 2"),
        ({"span1": A + B + C}, "the spans .* overlap; correct their first characters"),
        ({"span1": C, "span1_start": 2}, "overlap"),
        ({"span1": ""}, "span1: got '' at 0; expected a text and its place"),
        ({"span1_start": "0"}, "span1: got .* at '0'; expected a text and its place"),
        ({"label": "maybe"}, "unknown label 'maybe'"),
    ],
)
def test_mistakes_in_rows(changed: dict[str, Any], expected: str) -> None:
    values = row(A + B + C, (0, 1), (2, 3)) | changed
    with pytest.raises(ValueError, match=expected):
        MARKED.read("1", values, TASK, train=True)


@pytest.mark.parametrize("label", ["true", True])
def test_labels_may_be_json_booleans(label: Any) -> None:
    assert read(A + B, (0, 1), (1, 2), label).gold == "true"


def test_the_head_reads_cls_and_the_ends() -> None:
    examples = [read(A + B + C + D, (0, 2), (3, 4), x) for x in ("true", "false", None)]
    features = [ENDS.encode(one, TASK, tokenizer()) for one in examples]
    model, notes = ENDS.build(random_encoder(TINY, seed=0), TASK, weights={}, seed=0)
    model.eval()
    batch = packed(features, max_length=64)
    assert len(batch.input_ids) == 1, "several sequences a row"
    with torch.no_grad():
        outputs = model.outputs(batch)
        loss = model.losses(outputs, batch, progress=0.0).total
    logits = outputs.logits["label"]
    assert logits.shape == (15, 2)
    each = logits[::5]
    for n in range(3):
        ends = outputs.at_positions[5 * n : 5 * n + 5].flatten()
        torch.testing.assert_close(each[n], model.classifier(ends))
    expected = torch.nn.functional.cross_entropy(each[:2], torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert notes == {"head": "ends of the spans"}
    wanted = np.array([[0.0, 9.0], [9.0, 0.0], [9.0, 0.0]], np.float32).repeat(5, axis=0)
    answers = ENDS.decode(features, {"label": wanted}, TASK)
    assert [one.answer for one in answers] == ["false", "true", "true"]
