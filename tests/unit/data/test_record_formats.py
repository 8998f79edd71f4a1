"""Records of each format: fields as upstream reads them, budgets kept, labels where they belong."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from data_cases import random_documents, shards_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hanmo.data.draws import Draws
from hanmo.data.example import read_example
from hanmo.data.ragged import Corrupted, Sequences
from hanmo.data.record_formats import FORMATS, Limited, Unchanged, examples, over_budget
from hanmo.data.sequences import plan_sequences

LENGTH, MOST, MASK = 32, 5, 4


@dataclass(frozen=True)
class Masking:
    """Mask a share of the words; positions come in a random order of the sequences' own."""

    rate: float = 0.3
    layers: tuple[str, ...] = ("pos", "ner")

    def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
        words = np.cumsum(sequences.word_starts | ~sequences.maskable) - 1
        chance = draws.uniform("chosen")[np.flatnonzero(np.diff(words, prepend=-1))][words]
        positions = np.flatnonzero(sequences.maskable & (chance < self.rate))
        ids = sequences.input_ids.copy()
        ids[positions] = MASK
        targets = {"pieces": sequences.input_ids[positions]}
        targets |= {name: sequences.layers[name][positions] for name in self.layers}
        return Corrupted({"input_ids": ids}, positions, targets, sequences.offsets)


def sequences_of(seed: int, n_documents: int = 6) -> Sequences:
    shards = shards_in_memory(random_documents(seed, n_documents))
    plan = plan_sequences(shards, max_length=LENGTH)
    return plan.sequences(np.arange(len(plan)))


def corrupt(sequences: Sequences, *, most: int = MOST, layers: tuple[str, ...] = ()) -> Any:
    limited = Limited(Masking(), layers=layers, most=most)
    made = limited.corrupt(sequences, Draws.of(3, sequences.offsets))
    return limited, made


def columns(data: list[bytes], name: str) -> NDArray[Any]:
    return np.array([read_example(one)[name] for one in data])


@given(st.integers(0, 50), st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_whole_words_are_given_up_and_no_more_than_needed(seed: int, most: int) -> None:
    sequences = sequences_of(seed)
    whole = Masking().corrupt(sequences, Draws.of(3, sequences.offsets))
    over = over_budget(whole.positions, sequences, Draws.of(3, sequences.offsets), most)
    owners = np.searchsorted(sequences.offsets, whole.positions, side="right") - 1
    words = np.cumsum(sequences.word_starts | ~sequences.maskable)[whole.positions]
    for word in np.unique(words):
        assert len(set(over[words == word])) == 1
    chosen = np.bincount(owners, minlength=len(sequences))
    kept = np.bincount(owners[~over], minlength=len(sequences))
    assert (kept <= most).all()
    assert (kept[chosen <= most] == chosen[chosen <= most]).all()
    longest = 4  # pieces of a word of these documents: fewer than that are given up too many
    assert (kept[chosen > most] > most - longest).all()


def test_what_is_given_up_is_as_it_was() -> None:
    sequences = sequences_of(1)
    limited, made = corrupt(sequences)
    whole = Masking().corrupt(sequences, Draws.of(3, sequences.offsets))
    assert limited.counts["over_budget_positions"] == len(whole.positions) - len(made.positions) > 0
    changed = np.flatnonzero(made.inputs["input_ids"] != sequences.input_ids)
    np.testing.assert_array_equal(changed, made.positions)
    np.testing.assert_array_equal(made.targets["pieces"], sequences.input_ids[made.positions])
    np.testing.assert_array_equal(made.targets["pos"], sequences.layers["pos"][made.positions])


def test_words_are_given_up_at_random() -> None:
    sequences = sequences_of(2, 60)
    whole = Masking(0.9).corrupt(sequences, Draws.of(3, sequences.offsets))
    over = over_budget(whole.positions, sequences, Draws.of(3, sequences.offsets), 12)
    owners = np.searchsorted(sequences.offsets, whole.positions, side="right") - 1
    places = whole.positions - sequences.offsets[owners]
    long = (sequences.lengths[owners] >= LENGTH - 4) & ~over
    # Kept places of long sequences are as often in the first half as in the second.
    share = (places[long] < LENGTH / 2).mean()
    assert 0.44 < share < 0.56


def test_pieces_without_a_label_are_never_chosen() -> None:
    sequences = sequences_of(1)
    limited, made = corrupt(sequences, layers=("pos", "ner"))
    missing = sequences.maskable & (sequences.layers["pos"] < 0)
    assert limited.counts["unlabelled_pieces"] == missing.sum() > 0
    assert not missing[made.positions].any()
    assert (made.targets["pos"] >= 0).all()
    assert set(limited.layers) == {"pos", "ner"}
    _, without = corrupt(sequences)
    assert missing[without.positions].any()


def test_positions_are_ascending_whatever_the_objective_gives() -> None:
    class Backwards(Masking):
        def corrupt(self, sequences: Sequences, draws: Draws) -> Corrupted:
            made = Masking.corrupt(self, sequences, draws)
            targets = {name: values[::-1] for name, values in made.targets.items()}
            return Corrupted(made.inputs, made.positions[::-1], targets, made.offsets)

    sequences = sequences_of(1)
    draws = Draws.of(3, sequences.offsets)
    made = Limited(Backwards(), layers=(), most=MOST).corrupt(sequences, draws)
    _, expected = corrupt(sequences)
    np.testing.assert_array_equal(made.positions, expected.positions)
    np.testing.assert_array_equal(made.targets["pieces"], expected.targets["pieces"])


def records_of(name: str, **changes: Any) -> tuple[Sequences, Corrupted, list[bytes]]:
    """Records with label layers of the test's own: the format's, as far as they are there."""
    sequences = sequences_of(1)
    _, made = corrupt(sequences, layers=("pos", "ner"))
    inputs = {"token_type_ids": sequences.token_type_ids, **made.inputs}
    targets = {**made.targets, "dep": made.targets["ner"]}
    made = Corrupted(inputs, made.positions, targets, made.offsets, **changes)
    settings = {"max_length": LENGTH, "most": MOST, "pad_id": 0}
    return sequences, made, examples(made, FORMATS[name], **settings)


def test_the_features_of_each_format() -> None:
    inputs = {"input_ids": LENGTH, "input_mask": LENGTH, "segment_ids": LENGTH}
    masks = {"masked_lm_positions": MOST, "masked_lm_ids": MOST, "masked_lm_weights": MOST}
    expected = {
        "bert": {**inputs, **masks, "next_sentence_labels": 1},
        "lert": {**inputs, **masks, "pos_labels": MOST, "ner_labels": MOST, "dep_labels": MOST},
        "electra": inputs,
    }
    assert expected.keys() == FORMATS.keys()
    for name, sizes in expected.items():
        _, _, data = records_of(name)
        for one in data:
            found: dict[str, Any] = read_example(one)
            assert {key: len(values) for key, values in found.items()} == sizes
            for key, values in found.items():
                kind = np.float32 if key == "masked_lm_weights" else np.int64
                assert values.dtype == kind


def test_values_stand_where_they_belong_and_zeros_behind_them() -> None:
    sequences, made, data = records_of("lert")
    ids, mask = columns(data, "input_ids"), columns(data, "input_mask")
    weights, places = columns(data, "masked_lm_weights"), columns(data, "masked_lm_positions")
    for row, (begin, end) in enumerate(
        zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
    ):
        n = end - begin
        np.testing.assert_array_equal(
            ids[row], [*made.inputs["input_ids"][begin:end], *[0] * (LENGTH - n)]
        )
        np.testing.assert_array_equal(mask[row], [1] * n + [0] * (LENGTH - n))
        here = (begin <= made.positions) & (made.positions < end)
        n_masks = here.sum()
        np.testing.assert_array_equal(weights[row], [1] * n_masks + [0] * (MOST - n_masks))
        padding = [0] * (MOST - n_masks)
        np.testing.assert_array_equal(places[row], [*made.positions[here] - begin, *padding])
        for feature, target in (("masked_lm_ids", "pieces"), ("pos_labels", "pos")):
            found = columns(data[row : row + 1], feature)[0]
            np.testing.assert_array_equal(found, [*made.targets[target][here], *padding])
            if target == "pieces":
                original = sequences.input_ids[begin:end][places[row][:n_masks]]
                np.testing.assert_array_equal(found[:n_masks], original)


def test_answers_and_segments() -> None:
    sequences = sequences_of(1)
    answers = (np.arange(len(sequences)) % 2).astype(np.int8)
    _, _, data = records_of("bert", partners=answers)
    np.testing.assert_array_equal(columns(data, "next_sentence_labels")[:, 0], answers)
    _, _, data = records_of("bert")
    assert not columns(data, "next_sentence_labels").any()
    segments = Corrupted(
        {"input_ids": np.arange(7), "token_type_ids": np.array([0, 0, 1, 1, 0, 1, 1])},
        np.zeros(0, np.int64),
        {},
        np.array([0, 4, 7]),
    )
    data = examples(segments, FORMATS["electra"], max_length=5, most=0, pad_id=9)
    assert columns(data, "segment_ids").tolist() == [[0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    assert columns(data, "input_ids").tolist() == [[0, 1, 2, 3, 9], [4, 5, 6, 9, 9]]


def test_records_that_are_masked_elsewhere() -> None:
    sequences = sequences_of(1)
    made = Unchanged().corrupt(sequences, Draws.of(1, sequences.offsets))
    assert made.inputs["input_ids"] is sequences.input_ids
    assert len(made.positions) == 0


def test_formats_say_what_an_objective_must_give() -> None:
    assert FORMATS["lert"].targets == ("pieces", "pos", "ner", "dep")
    assert FORMATS["bert"].targets == ("pieces",)
    assert FORMATS["electra"].targets == ()
