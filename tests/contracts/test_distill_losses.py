"""The contract of match losses, over every entry: a plain reference in float64, 0 for equals.

The references are written as TextBrewer states them, on padded rows with a mask (facts/07).
"""

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from distill_cases import arrays, as_rows, batch, places, random_attention, random_states
from hanmo.distill.losses import LOSSES
from hanmo.distill.matches import FEATURES, parse_match
from hanmo.distill.places import Places
from hanmo.model.trainable import Batch, totals_of
from hanmo.train.loop import parts_of

Reference = Callable[[Sequence[Tensor], Sequence[Tensor], Batch], Tensor]


def hidden_mse(one: Sequence[Tensor], two: Sequence[Tensor], made: Batch) -> Tensor:
    (s, mask), (t, _) = as_rows(one[0], made), as_rows(two[0], made)
    lost = F.mse_loss(s, t, reduction="none") * mask[:, :, None]
    return lost.sum() / (mask.sum() * s.shape[2])


def cos(one: Sequence[Tensor], two: Sequence[Tensor], made: Batch) -> Tensor:
    (s, mask), (t, _) = as_rows(one[0], made), as_rows(two[0], made)
    kept = mask.flatten() > 0
    s, t = s.flatten(0, 1)[kept], t.flatten(0, 1)[kept]
    return F.cosine_embedding_loss(s, t, torch.ones(len(s)), reduction="mean")


def pkd(one: Sequence[Tensor], two: Sequence[Tensor], made: Batch) -> Tensor:
    s, t = as_rows(one[0], made)[0][:, 0], as_rows(two[0], made)[0][:, 0]
    s, t = s / s.norm(dim=1, keepdim=True), t / t.norm(dim=1, keepdim=True)
    return (s - t).pow(2).sum(-1).mean()


def gram(one: Sequence[Tensor], two: Sequence[Tensor], made: Batch) -> Tensor:
    found = []
    for side in (one, two):
        (first, mask), (second, _) = as_rows(side[0], made), as_rows(side[1], made)
        first, second = first * mask[:, :, None], second * mask[:, :, None]
        lengths = mask.sum(1)[:, None, None]
        found.append(torch.bmm(first.transpose(1, 2), second) / lengths)
    return F.mse_loss(*found)


def nst(one: Sequence[Tensor], two: Sequence[Tensor], made: Batch) -> Tensor:
    found = []
    for side in (one, two):
        (first, mask), (second, _) = as_rows(side[0], made), as_rows(side[1], made)
        found.append(torch.bmm(first, second.transpose(1, 2)) / first.shape[2])
    lost = F.mse_loss(*found, reduction="none") * mask[:, :, None] * mask[:, None, :]
    return lost.sum() / mask.sum(1).pow(2).sum()


def scores(side: Tensor, made: Batch) -> tuple[Tensor, Tensor]:
    """[S, A, n, n] scores before the softmax, and the mask [S, n]."""
    rows, mask = as_rows(side, made)
    q, k = rows[:, :, 0].transpose(1, 2), rows[:, :, 1].transpose(1, 2)
    return q @ k.transpose(2, 3) / side.shape[-1] ** 0.5, mask


def attention_mse(
    one: Sequence[Tensor], two: Sequence[Tensor], made: Batch, *, add: bool = False
) -> Tensor:
    (s, mask), (t, _) = scores(one[0], made), scores(two[0], made)
    if add:
        s, t = s.sum(1, keepdim=True), t.sum(1, keepdim=True)
    heads = s.shape[1]
    pairs = mask[:, None, :, None] * mask[:, None, None, :]
    return (F.mse_loss(s, t, reduction="none") * pairs).sum() / (pairs.sum() * heads)


def attention_ce(
    one: Sequence[Tensor], two: Sequence[Tensor], made: Batch, *, mean: bool = False
) -> Tensor:
    (s, mask), (t, _) = scores(one[0], made), scores(two[0], made)
    if mean:
        s, t = s.mean(1, keepdim=True), t.mean(1, keepdim=True)
    gone = mask[:, None, None, :] == 0
    s, t = s.masked_fill(gone, -1e9), t.masked_fill(gone, -1e9)
    wanted = t.softmax(-1)
    crossed = -(wanted * s.log_softmax(-1)).sum(-1) * mask[:, None, :]
    entropy = -(wanted * t.log_softmax(-1)).sum(-1) * mask[:, None, :]
    return (crossed - entropy).sum() / (mask.sum() * s.shape[1])


REFERENCES: dict[str, Reference] = {
    "hidden_mse": hidden_mse,
    "cos": cos,
    "pkd": pkd,
    "gram": gram,
    "fsp": gram,
    "nst": nst,
    "mmd": nst,
    "attention_mse": attention_mse,
    "attention_mse_sum": lambda one, two, made: attention_mse(one, two, made, add=True),
    "attention_ce": attention_ce,
    "attention_ce_mean": lambda one, two, made: attention_ce(one, two, made, mean=True),
}


@pytest.fixture(params=sorted(LOSSES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sides(name: str, made: Batch, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """What a student and a teacher computed, as different as the loss allows."""
    how = LOSSES[name]
    if how.feature == "attention":
        heads = 4 if how.same_heads else 2
        return (
            [random_attention(made, 4, 3, seed=seed)],
            [random_attention(made, heads, 5, seed=seed + 1)],
        )
    width = 6 if how.same_width else 9
    return (
        random_states(made, *[6] * how.layers, seed=seed),
        random_states(made, *[width] * how.layers, seed=seed + 1),
    )


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12))
def test_each_is_its_reference(seed: int, n: int) -> None:
    made = batch(seed, n)
    for name, how in LOSSES.items():
        one, two = sides(name, made, seed)
        got, expected = how.compare(one, two, places(made)), REFERENCES[name](one, two, made)
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12, msg=name)
        ours = torch.autograd.grad(got, one, allow_unused=True)
        theirs = torch.autograd.grad(expected, one, allow_unused=True)
        for mine, wanted in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, wanted, rtol=1e-9, atol=1e-12, msg=name)


def test_padding_does_not_count(name: str) -> None:
    packed, padded = batch(4), batch(4, pack=False)
    how = LOSSES[name]
    values = []
    for made in (packed, padded):
        torch.manual_seed(0)
        longest = int(made.layout.sequences[:, 1].max())
        by_length = {
            int(n): torch.randn(2, int(n), 3, 4, 6, dtype=torch.float64)
            for n in sorted(made.layout.sequences[:, 1].tolist())
        }
        assert longest in by_length
        two = []
        for side in range(2):
            x = torch.full((made.layout.n_places, 3, 4, 6), 1e3, dtype=torch.float64)
            for begin, length in made.layout.sequences.tolist():
                x[begin : begin + length] = by_length[length][side]
            two.append(x if how.feature == "attention" else x[:, 0, 0])
        one, other = ([side] * how.layers for side in two)
        values.append(how.compare(one, other, places(made)))
    torch.testing.assert_close(*values)


def test_equals_have_no_loss_and_others_do(name: str) -> None:
    made = batch(1)
    one, two = sides(name, made, 3)
    same = LOSSES[name].compare(one, [layer.detach() for layer in one], places(made))
    # Rounding may leave something of normalising and of a sum of logarithms.
    assert abs(same.item()) < 1e-12
    assert LOSSES[name].compare(one, two, places(made)).item() > 1e-3


def test_parts_of_a_step_add_up(name: str) -> None:
    whole = arrays(2, 12)
    parts = parts_of(whole, 3)
    assert len(parts) == 3, "the batch was cut"
    states = sides(name, Batch.from_arrays(whole), 5)
    full = LOSSES[name].compare(*states, Places.of(Batch.from_arrays(whole)))
    made = Batch.from_arrays(whole)
    sums = []
    for part in parts:
        # Of each sequence of the part, what the whole batch has of it, in the order of places.
        keys = {tuple(row.tolist()) for row in _identities(part)}
        assert len(keys) == len(part.layout.sequences)
        places_of = {
            tuple(r.tolist()): s for r, s in zip(_identities(made), _spans(made), strict=True)
        }
        side_parts = []
        for side in states:
            layers = []
            for layer in side:
                x = layer.new_zeros(part.layout.n_places, *layer.shape[1:])
                for key, (begin, length) in zip(
                    (tuple(r.tolist()) for r in _identities(part)), _spans(part), strict=True
                ):
                    first = places_of[key][0]
                    x[begin : begin + length] = layer[first : first + length].detach()
                layers.append(x)
            side_parts.append(layers)
        sums.append(LOSSES[name].compare(*side_parts, Places.of(part)))
    torch.testing.assert_close(torch.stack(sums).sum(), full.detach())
    assert totals_of(whole) == dict(parts[0].totals)


def _spans(made: Batch) -> list[list[int]]:
    spans: list[list[int]] = made.layout.sequences.tolist()
    return spans


def _identities(made: Batch) -> list[Tensor]:
    ids = made.layout.take(made.input_ids.flatten())
    return [ids[begin : begin + length] for begin, length in _spans(made)]


def test_the_entry_can_be_written(name: str) -> None:
    how = LOSSES[name]
    layers = "1+2" if how.layers == 2 else "1"
    match = parse_match(f"{layers},{layers},{how.feature},{name},0.5")
    assert match.how is how
    assert how.feature in FEATURES
    assert match.weight == 0.5
