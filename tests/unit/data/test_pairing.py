"""Pairs of segments: lengths, answers, where B comes from, and what the reader makes of them."""

import numpy as np
import pytest
from data_cases import Identity, make_documents, make_loader, random_documents, shards_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.data.loader import Loader
from hanmo.data.sequences import SequencePlan, plan_sequences
from hanmo.data.shards import ShardSet

CLS, SEP = 2, 3
sentence = st.lists(st.integers(1, 6), min_size=1, max_size=8)
document = st.lists(sentence, min_size=1, max_size=7)


def document_of(shards: ShardSet, shard: int, piece: int) -> int:
    return int(np.searchsorted(shards.shards[shard].piece_offsets, piece, side="right")) - 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(document, min_size=1, max_size=6),
    st.integers(8, 40),
    st.sampled_from(["nsp", "sop"]),
    st.sampled_from([0.0, 0.5]),
    st.integers(0, 99),
)
def test_pairs_keep_their_promises(
    documents: list, max_length: int, partner: str, rate: float, seed: int
) -> None:
    shards = shards_in_memory(make_documents(documents))
    plan = plan_sequences(
        shards, max_length=max_length, partner=partner, short_sequence_rate=rate, seed=seed
    )
    assert plan.answers is not None
    assert (plan.lengths <= max_length).all()
    sizes = plan.stop - plan.start
    assert (sizes[:, 0] > 0).all()
    assert ((sizes[:, 1] == 0) == (plan.answers == -1)).all(), "a pair has an answer"
    seen = np.zeros(len(shards.shards[0].ids), dtype=int)
    for (a, b), (a_end, b_end), answer in zip(
        plan.start.tolist(), plan.stop.tolist(), plan.answers.tolist(), strict=True
    ):
        seen[a:a_end] += 1
        home = document_of(shards, 0, a)
        assert document_of(shards, 0, a_end - 1) == home
        if answer == -1:
            continue
        other = document_of(shards, 0, b)
        assert document_of(shards, 0, b_end - 1) == other
        assert (other == home) == (answer == 0)
        if answer == 0:
            assert b >= a_end
            seen[b:b_end] += 1
    # Beside what was cut, every piece of the text is in exactly one pair as A or as true B.
    assert seen.max() == 1
    assert (seen == 0).sum() == plan.n_cut
    if partner == "sop":
        assert set(plan.answers.tolist()) <= {0, -1}


def plan_of(partner: str, **options: object) -> SequencePlan:
    shards = shards_in_memory(random_documents(3, 400, longest_sentence=12))
    return plan_sequences(shards, max_length=64, partner=partner, **options)  # type: ignore[arg-type]


def test_half_of_the_next_sentences_are_random() -> None:
    shards = shards_in_memory(make_documents([[[1, 1]] * 400] * 40))
    plan = plan_sequences(shards, max_length=32, partner="nsp")
    assert plan.answers is not None
    # A last chunk of one sentence always gets a random next one, hence a little over one half.
    assert len(plan) > 1000
    assert 0.45 < plan.answers.mean() < 0.57
    assert set(plan.answers.tolist()) == {0, 1}


def test_the_order_is_drawn_anew_in_each_epoch() -> None:
    plan = plan_of("sop")
    loader = Loader(plan, Identity(), batch_size=64, max_length=64, seed=4, pack=False)
    answers: list[dict[int, int]] = [{}, {}]
    for step in range(2 * len(plan) // 64):
        chosen, arrays = loader.select(step), loader.batch(step)
        assert len(arrays["firsts"]) == len(arrays["partners"]) == 64
        for row, (epoch, index) in enumerate(zip(chosen.epochs, chosen.indices, strict=True)):
            answer = int(arrays["partners"][row])
            answers[epoch][int(index)] = answer
            assert arrays["firsts"][row] == row * arrays["input_ids"].shape[1]
            if answer == -1:
                continue
            n = int((arrays["sequence_ids"][row] > 0).sum())
            ids, types = arrays["input_ids"][row, :n], arrays["token_type_ids"][row, :n]
            assert ids[0] == CLS
            one, two = np.flatnonzero(ids == SEP)
            assert two == n - 1
            assert types.tolist() == [0] * (one + 1) + [1] * (n - one - 1)
            pieces = plan.shards.shards[0].ids
            a, b = (pieces[plan.start[index, k] : plan.stop[index, k]] for k in (0, 1))
            first, second = (b, a) if answer else (a, b)
            np.testing.assert_array_equal(ids[1:one], first)
            np.testing.assert_array_equal(ids[one + 1 : two], second)
    both = [key for key in answers[0] if key in answers[1] and answers[0][key] >= 0]
    changed = sum(answers[0][key] != answers[1][key] for key in both)
    assert 0.3 * len(both) < changed < 0.7 * len(both)
    assert 0.4 < np.mean([answers[0][key] for key in both]) < 0.6


def test_truncation_takes_from_the_longer_side_at_both_ends() -> None:
    # One sentence of 3 pieces, then one of 60: B alone is over the length.
    shards = shards_in_memory(make_documents([[[3], [1] * 60]] * 200))
    plan = plan_sequences(shards, max_length=64, partner="sop")
    sizes = plan.stop - plan.start
    assert (sizes[:, 0] == 3).all()
    assert (sizes[:, 1] == 58).all()
    front = plan.start[:, 1] - plan.stop[:, 0]
    assert set(front.tolist()) == {0, 1, 2}
    assert plan.n_cut == 200 * 2


def test_in_a_shard_of_one_document_nothing_random_follows() -> None:
    shards = shards_in_memory(make_documents([[[4], [5], [6], [7]] * 9]))
    plan = plan_sequences(shards, max_length=32, partner="nsp")
    assert plan.answers is not None
    assert set(plan.answers.tolist()) <= {0, -1}


def test_the_seed_decides(shards: ShardSet) -> None:
    one, two, three = (
        plan_sequences(shards, max_length=64, partner="nsp", seed=seed).start for seed in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_an_unknown_partner_is_named(shards: ShardSet) -> None:
    with pytest.raises(UserError, match=r"partner: no 'sopp'.*'sop'"):
        plan_sequences(shards, max_length=64, partner="sopp")


def test_without_a_partner_nothing_is_asked(shards: ShardSet) -> None:
    assert not {"firsts", "partners"} & make_loader(shards).batch(0).keys()
