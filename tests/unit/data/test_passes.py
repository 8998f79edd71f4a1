"""Passes over the text: every sample in one file, once; the same in every process."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from data_cases import make_documents, random_documents, shards_in_memory, write_shards

from hanmo.core.errors import UserError
from hanmo.data import passes as module
from hanmo.data.passes import Passes, plan_passes
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet

SETTINGS = {"max_length": 40, "partner": "none", "short_sequence_rate": 0.0, "seed": 5}


def make(shards: ShardSet, folder: Path, **changes: object) -> Passes:
    settings = {**SETTINGS, "dupe_factor": 3, **changes}
    return plan_passes(shards, folder, **settings)  # type: ignore[arg-type]


def numbers(passes: Passes, n_files: int) -> list[list[tuple[int, int]]]:
    """For each file, its (pass, sequence) pairs in order."""
    return [
        [
            pair
            for one in passes.samples(file, n_files)
            for pair in zip(one.epochs.tolist(), one.indices.tolist(), strict=True)
        ]
        for file in range(n_files)
    ]


@pytest.mark.parametrize("n_files", [1, 4])
@pytest.mark.parametrize("partner", ["none", "nsp"])
def test_every_sample_is_in_one_file_once(
    shards: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_files: int, partner: str
) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)
    made = make(shards, tmp_path / "plans", partner=partner)
    files = numbers(made, n_files)
    sizes = [len(plan) for plan in made.plans]
    every = [(number, i) for number, n in enumerate(sizes) for i in range(n)]
    assert sorted(pair for file in files for pair in file) == every
    assert len(every) == len(made)
    lengths = [len(file) for file in files]
    assert max(lengths) - min(lengths) <= 1
    assert files[0] != sorted(files[0])
    assert len({number for number, _ in files[0]}) == 3


def test_segments_and_answers_are_those_of_the_plans(shards: ShardSet, tmp_path: Path) -> None:
    made = make(shards, tmp_path / "plans", partner="nsp")
    for selection in made.samples(1, 2):
        for row, (number, index) in enumerate(
            zip(selection.epochs, selection.indices, strict=True)
        ):
            plan = made.plans[number]
            np.testing.assert_array_equal(selection.ranges[row], plan.ranges(index[None])[0])
            assert selection.answers is not None and plan.answers is not None
            assert selection.answers[row] == plan.answers[index]


def test_passes_cut_and_pair_anew_only_where_chance_has_a_part(
    shards: ShardSet, tmp_path: Path
) -> None:
    same = make(shards, tmp_path / "same")
    assert same.plans[0] is same.plans[2]
    [once] = list(same.samples(0, 1))[:1]
    assert once.answers is None
    for folder, changes in (("a", {"partner": "nsp"}), ("b", {"short_sequence_rate": 0.5})):
        made = make(shards, tmp_path / folder, **changes)
        assert made.plans[0].stop.tolist() != made.plans[1].stop.tolist()
    first = plan_sequences(shards, max_length=40, short_sequence_rate=0.5, seed=5)
    np.testing.assert_array_equal(made.plans[0].stop, first.stop)


def test_another_process_sees_the_same(shards: ShardSet, tmp_path: Path) -> None:
    made = make(shards, tmp_path / "plans", partner="sop")
    data = pickle.dumps(made)
    assert len(data) < 2000
    again: Passes = pickle.loads(data)
    assert again.swaps
    assert (again.n_left_out, again.n_cut) == (made.n_left_out, made.n_cut)
    for one, two in zip(made.samples(0, 2), again.samples(0, 2), strict=True):
        np.testing.assert_array_equal(one.ranges, two.ranges)
        np.testing.assert_array_equal(one.epochs, two.epochs)


def test_sequences_without_an_answer_are_no_samples(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "shards", [random_documents(1, 40)], shard_pieces=6000)
    shards = ShardSet.open(folder)
    made = make(shards, tmp_path / "plans", partner="sop", dupe_factor=1)
    plan = plan_sequences(shards, max_length=40, partner="sop", seed=5)
    assert plan.answers is not None
    alone = plan.answers == -1
    assert 0 < alone.sum() < len(plan)
    assert len(made) == (~alone).sum()
    assert made.n_left_out == (plan.stop - plan.start)[alone].sum()
    assert all((one.answers != -1).all() for one in made.samples(0, 1) if one.answers is not None)


def test_nothing_to_ask_about(tmp_path: Path) -> None:
    shards = shards_in_memory(make_documents([[[2, 3]]]))  # one sentence: no second segment
    made = make(shards, tmp_path / "one", partner="sop")
    assert len(made) == 0
    assert made.n_left_out == 3 * 5
    assert list(made.samples(0, 1)) == []
    with pytest.raises(UserError, match="max_length"):
        make(shards, tmp_path / "two", max_length=2)
