"""What is shown is what training sees: the loader's batches, piece by piece."""

from pathlib import Path

import numpy as np
import pytest

from hanmo.core.errors import UserError
from hanmo.data.loader import Loader
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet
from hanmo.inspection.masked import STATES, Settings, View
from hanmo.objectives._objective import Corruptor, Vocabulary
from hanmo.text.tokenizer import Tokenizer
from training_cases import make_shards

SEED, LENGTH = 7, 24
CASES = [
    ("mlm", {}, "none", None),
    ("mlm", {"unit": "piece"}, "nsp", None),
    ("lert", {}, "sop", 2),
    ("pert", {"ngram": (1.0,)}, "none", None),
    ("electra", {"replacement": True}, "none", None),
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return ShardSet.open(make_shards(tmp_path_factory.mktemp("shards"), n_documents=40))


@pytest.fixture(scope="module")
def tokenizer(shards: ShardSet) -> Tokenizer:
    return Tokenizer.load(shards.folder)


def corruptor(name: str, options: dict[str, object], tokenizer: Tokenizer) -> Corruptor:
    return Corruptor(name, options, Vocabulary.of(tokenizer))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[2]}")
def test_an_example_is_what_the_loader_gives(
    shards: ShardSet,
    tokenizer: Tokenizer,
    case: tuple[str, dict[str, object], str, int | None],
) -> None:
    name, options, partner, dupe_factor = case
    corrupt = corruptor(name, options, tokenizer)
    view = View(shards, tokenizer, corrupt, Settings(LENGTH, partner, 0.2, dupe_factor, SEED))
    plan = plan_sequences(
        shards, max_length=LENGTH, partner=partner, short_sequence_rate=0.2, seed=SEED
    )
    loader = Loader(
        plan,
        corrupt,
        batch_size=1,
        max_length=LENGTH,
        seed=SEED,
        pack=False,
        dupe_factor=dupe_factor,
    )
    n_epochs = 3
    for step in range(0, n_epochs * len(plan), 7):
        selection, arrays = loader.select(step), loader.batch(step)
        example = view.example(int(selection.indices[0]), epoch=int(selection.epochs[0]))
        cells = example.line.cells
        ids = arrays["input_ids"][0][arrays["sequence_ids"][0] > 0]
        assert [cell.text for cell in cells] == [tokenizer.vocab[one] for one in ids]
        chosen = [place for place, cell in enumerate(cells) if cell.under]
        assert chosen == sorted(set(arrays["positions"].tolist()))
        shown = example.to_json()["chosen"]
        if "pieces" in arrays:
            by_place = dict(zip(arrays["positions"].tolist(), arrays["pieces"], strict=True))
            for one in shown:
                assert one["pieces"] == tokenizer.vocab[by_place[one["place"]]]
        for layer, labels in shards.layers.items():
            if layer in arrays:
                wanted = [None if x < 0 else labels[x] for x in arrays[layer].tolist()]
                assert [one[layer] for one in shown] == wanted
        if partner == "none":
            assert example.answer is None
        else:
            assert [example.answer] == arrays["partners"].tolist()


def test_a_plan_of_the_first_shards_gives_the_same_sequences(
    folders: dict[str, Path],
) -> None:
    shards, tokenizer = ShardSet.open(folders["shards"]), Tokenizer.load(folders["shards"])
    assert len(shards.shards) >= 2
    corrupt = corruptor("mlm", {}, tokenizer)
    settings = Settings(12, short_sequence_rate=0.3)
    whole = View(shards, tokenizer, corrupt, settings)
    first = View(shards, tokenizer, corrupt, settings, last_shard=0)
    assert 0 < len(first.plan) < len(whole.plan)
    for index in range(len(first.plan)):
        assert first.example(index, epoch=1) == whole.example(index, epoch=1)


def test_states_say_what_was_done(shards: ShardSet, tokenizer: Tokenizer) -> None:
    view = View(shards, tokenizer, corruptor("mlm", {}, tokenizer), Settings(LENGTH))
    seen: set[str] = set()
    for index in range(len(view.plan)):
        for cell in view.example(index, epoch=0).line.cells:
            if not cell.under:
                assert cell.style in ("word", "special", "unknown")
                continue
            mark, piece = cell.under
            seen.add(cell.style)
            assert mark == STATES[cell.style]
            assert (cell.style == "masked") == (cell.text == "[MASK]")
            assert (cell.style == "kept") == (cell.text == piece)
    assert seen == set(STATES)


def test_counts_are_of_the_sequences_shown(shards: ShardSet, tokenizer: Tokenizer) -> None:
    view = View(shards, tokenizer, corruptor("mlm", {}, tokenizer), Settings(LENGTH))
    counts = view.counts(epoch=2)
    examples = [view.example(index, epoch=2) for index in range(len(view.plan))]
    cells = [cell for one in examples for cell in one.line.cells]
    assert counts["sequences"] == len(view.plan) < 512
    assert counts["pieces"] == len(cells)
    assert counts["chosen"] == sum(bool(cell.under) for cell in cells)
    for state in STATES:
        assert counts[state] == sum(bool(c.under) and c.style == state for c in cells)


def test_the_sequence_of_a_piece(shards: ShardSet, tokenizer: Tokenizer) -> None:
    view = View(shards, tokenizer, corruptor("mlm", {}, tokenizer), Settings(LENGTH))
    n = len(shards.shards[0].ids)
    found = [view.index_of(0, piece) for piece in range(n)]
    starts, stops = view.plan.start[:, 0], view.plan.stop[:, 0]
    assert all(starts[i] <= piece < stops[i] for piece, i in enumerate(found))


def test_pairs_leave_text_out_and_a_neighbour_is_shown(
    shards: ShardSet, tokenizer: Tokenizer
) -> None:
    settings = Settings(8, partner="sop")
    view = View(shards, tokenizer, corruptor("mlm", {}, tokenizer), settings)
    assert view.plan.n_cut
    held = np.zeros(len(shards.shards[0].ids), dtype=bool)
    for start, stop in zip(view.plan.start.ravel(), view.plan.stop.ravel(), strict=True):
        held[start:stop] = True
    left_out = int(np.flatnonzero(~held)[0])
    assert view.plan.start[view.index_of(0, left_out)].max() >= left_out


def test_a_sequence_that_is_not_there(shards: ShardSet, tokenizer: Tokenizer) -> None:
    view = View(shards, tokenizer, corruptor("mlm", {}, tokenizer), Settings(LENGTH))
    with pytest.raises(UserError, match=rf"--sequence: got {len(view.plan)}; expected 0 to"):
        view.example(len(view.plan), epoch=0)
