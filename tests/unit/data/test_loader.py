"""The loader: a batch is a function of its step, whatever came before and whoever makes it."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from data_cases import Broken, Identity, Suicidal, make_loader, random_documents, write_shards

from hanmo.core.errors import UserError
from hanmo.data.loader import Loader
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet

Arrays = dict[str, np.ndarray]


def assert_same(one: Arrays, two: Arrays) -> None:
    assert one.keys() == two.keys()
    for name in one:
        assert one[name].dtype == two[name].dtype
        np.testing.assert_array_equal(one[name], two[name])


def test_an_epoch_has_every_piece_once_also_where_batches_straddle(shards: ShardSet) -> None:
    loader = make_loader(shards, Identity(), batch_size=1)
    n = len(loader.plan)
    everything = np.sort(np.concatenate([shard.ids for shard in shards.shards]))
    for epoch in (0, 1):
        batches = loader.batches(epoch * n, (epoch + 1) * n)
        ids = np.concatenate([batch["input_ids"].reshape(-1) for batch in batches])
        np.testing.assert_array_equal(np.sort(ids[ids >= 5]), everything)
    wide = make_loader(shards, batch_size=24)
    chosen = [wide.select(step) for step in range(3 * n // 24 + 1)]
    epochs = np.concatenate([one.epochs for one in chosen])
    indices = np.concatenate([one.indices for one in chosen])
    for epoch in (0, 1, 2):
        assert sorted(indices[epochs == epoch]) == list(range(n))
    assert indices[:n].tolist() != indices[n : 2 * n].tolist()


def test_a_batch_does_not_depend_on_what_was_asked_before(shards: ShardSet) -> None:
    loader = make_loader(shards)
    in_order = list(loader.batches(0, 12))
    for step in (11, 3, 7):
        assert_same(make_loader(shards).batch(step), in_order[step])
        assert_same(loader.batch(step), in_order[step])


@pytest.mark.parametrize("pack", [True, False])
def test_a_sequence_is_corrupted_alike_whatever_the_batch_size(
    shards: ShardSet, pack: bool
) -> None:
    def sequences(batch_size: int, steps: range) -> list[tuple[int, ...]]:
        loader = make_loader(shards, batch_size=batch_size, pack=pack)
        found = []
        for batch in loader.batches(steps.start, steps.stop):
            for ids, numbers in zip(batch["input_ids"], batch["sequence_ids"], strict=True):
                found += [tuple(ids[numbers == k]) for k in range(1, numbers.max() + 1)]
        return sorted(found)

    assert sequences(6, range(8, 16)) == sequences(24, range(2, 4))


def test_epochs_and_seeds_differ(shards: ShardSet) -> None:
    loader = make_loader(shards, batch_size=1)
    n = len(loader.plan)
    epochs = [loader.select(step) for step in (*range(n), *range(n, 2 * n))]
    first = int(epochs[0].indices[0])
    again = next(i for i in range(n, 2 * n) if epochs[i].indices[0] == first)
    assert loader.batch(0)["positions"].tolist() != loader.batch(again)["positions"].tolist()
    other = make_loader(shards, seed=12)
    assert other.select(0).indices.tolist() != make_loader(shards).select(0).indices.tolist()


def test_workers_make_the_same_bytes_also_after_a_restart(shards: ShardSet) -> None:
    inline = list(make_loader(shards).batches(0, 9))
    loader = make_loader(shards, workers=2, prefetch=3)
    first = []
    iterator = loader.batches(0)
    for batch in iterator:
        first.append(batch)
        if len(first) == 5:
            break
    iterator.close()  # type: ignore[attr-defined]
    rest = list(make_loader(shards, workers=2).batches(5, 9))
    for one, two in zip(inline, first + rest, strict=True):
        assert_same(one, two)


def test_seeking_far_costs_nothing(shards: ShardSet) -> None:
    loader = make_loader(shards)
    loader.batch(0)
    start = time.perf_counter()
    loader.batch(10**9)
    assert time.perf_counter() - start < 0.2


def test_static_masks_come_again_and_dynamic_ones_do_not(shards: ShardSet) -> None:
    def corrupted(epoch: int, dupe_factor: int | None) -> dict[int, bytes]:
        """Sequence → what became of it in an epoch."""
        loader = make_loader(shards, batch_size=1, pack=False, dupe_factor=dupe_factor)
        n = len(loader.plan)
        steps = range(epoch * n, (epoch + 1) * n)
        return {
            int(loader.select(step).indices[0]): loader.batch(step)["input_ids"].tobytes()
            for step in steps
        }

    assert corrupted(0, 2) == corrupted(2, 2) == corrupted(0, None)
    assert corrupted(1, 2) == corrupted(3, 2) == corrupted(1, None)
    assert corrupted(0, 2) != corrupted(1, 2)
    assert corrupted(0, None) != corrupted(2, None)
    assert corrupted(0, 1) == corrupted(5, 1)


def test_a_killed_worker_is_a_clear_error(shards: ShardSet) -> None:
    loader = make_loader(shards, Suicidal(), workers=1)
    with pytest.raises(UserError, match=r"a loader worker was killed.*\(now 1\)"):
        next(loader.batches())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_objective_s_own_error_comes_through(shards: ShardSet, workers: int) -> None:
    loader = make_loader(shards, Broken(), workers=workers)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        next(loader.batches())


SCRIPT = """
import multiprocessing, os, sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from hanmo.data.shards import ShardSet
from data_cases import make_loader

if __name__ == "__main__":
    batches = make_loader(ShardSet.open(Path(sys.argv[1])), workers=2).batches()
    next(batches)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    time.sleep(60)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "s", [random_documents(1, 20)])
    script = tmp_path / "main.py"
    script.write_text(SCRIPT, encoding="utf-8")
    here = str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, str(script), str(folder), here], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(children) == 2
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in children if alive(pid)]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: got 0; expected 1 or more"),
        ({"workers": -1}, "workers: got -1; expected 0 or more"),
        ({"max_length": 63}, "max_length: got 63; expected at least the plan's 64"),
    ],
)
def test_impossible_options_are_refused(shards: ShardSet, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_loader(shards, **options)


def test_no_sequences_are_refused(tmp_path: Path) -> None:
    shards = ShardSet.open(write_shards(tmp_path / "s", [random_documents(1, 1)]))
    plan = plan_sequences(shards, max_length=64)
    empty = type(plan)(shards, 64, plan.shard[:0], plan.start[:0], plan.stop[:0])
    with pytest.raises(UserError, match="no sequences to train on"):
        Loader(empty, Identity(), batch_size=1, max_length=64, seed=0)
