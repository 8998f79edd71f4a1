"""Tables from runs: max, mean and deviation over seeds, published rows, rows of settings."""

import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import BASE, SMALL, make_run

from hanmo.core.errors import UserError
from hanmo.report.table import Cell, metric_name, tables


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_cells_are_max_mean_and_deviation_in_percent(scores: list[float]) -> None:
    [table] = tables([make_run(seed, dev=score) for seed, score in enumerate(scores)])
    [row] = table.rows
    cell = row.cells["dev"]["accuracy"]
    assert cell.best == pytest.approx(100 * max(scores))
    assert cell.mean == pytest.approx(100 * sum(scores) / len(scores))
    assert row.seeds == tuple(range(len(scores)))
    assert all(scores[seed] == pytest.approx(max(scores)) for seed in cell.best_seeds)
    shown = f"{cell.best:.1f} ({cell.mean:.1f})"
    if len(scores) > 1:
        assert cell.deviation == pytest.approx(100 * statistics.stdev(scores))
        assert str(cell) == f"{shown} ± {cell.deviation:.1f}"
    else:
        assert cell.deviation is None
        assert str(cell) == shown


def test_a_cell_by_hand() -> None:
    # Mean (94.0 + 94.2 + 94.7) / 3 = 94.3; squares of the distances 0.09 + 0.01 + 0.16 = 0.26,
    # by two 0.13, and its root is 0.36.
    runs = [make_run(seed, dev=dev) for seed, dev in ((3, 0.94), (1, 0.942), (2, 0.947))]
    [table] = tables(runs)
    cell = table.rows[0].cells["dev"]["accuracy"]
    assert str(cell) == "94.7 (94.3) ± 0.4"
    assert cell.best_seeds == (2,)
    assert str(Cell(None, 63.6)) == "– (63.6)"
    assert str(Cell(92.8, None)) == "92.8"


def test_several_seeds_may_be_the_best() -> None:
    [table] = tables([make_run(seed, dev=dev) for seed, dev in ((1, 0.9), (2, 0.8), (4, 0.9))])
    assert table.rows[0].cells["dev"]["accuracy"].best_seeds == (1, 4)


def test_the_main_split_is_dev_or_the_first_of_ours() -> None:
    scores: dict[str, Any] = {"test": {"accuracy": 0.5}, "extra": {"accuracy": 0.5}}
    [table] = tables([make_run(scores=scores, published="ChnSentiCorp")])
    assert table.splits == ("dev", "test", "extra")  # dev is of published rows
    assert table.main == "test"
    [table] = tables([make_run(scores=scores | {"dev": {"accuracy": 0.5}})])
    assert table.main == "dev"
    [table] = tables([make_run(scores={})])
    assert (table.main, table.splits) == ("", ())


def test_published_rows_are_those_of_our_sizes() -> None:
    base = make_run(published="ChnSentiCorp", task="chnsenticorp")
    small = make_run(published="ChnSentiCorp", task="chnsenticorp", model="s", parameters=SMALL)
    [one] = tables([base])
    names = {row.model for row in one.published}
    assert {"LERT-base", "RoBERTa-wwm-ext", "BERT"} <= names
    assert not {"RBT3", "LERT-small", "LERT-large"} & names
    [both] = tables([base, small])
    names = {row.model for row in both.published}
    assert {"LERT-base", "RBT3", "MiniRBT-H256"} <= names
    assert both.sizes == ("small", "base")
    assert 0 < both.left_out < one.left_out
    [every] = tables([base], all_sizes=True)
    assert every.left_out == 0
    assert len(every.published) == len(one.published) + one.left_out
    [alone] = tables([base], published=False)
    assert (alone.published, alone.left_out) == ((), 0)


def test_runs_with_other_settings_are_rows_of_their_own() -> None:
    longer = {"settings": {"epochs": 5, "learning_rate": 1e-5}, "changed": {"epochs": 5}}
    runs = [make_run(1), make_run(2), make_run(1, **longer)]
    [table] = tables(runs)
    assert [(row.model, row.seeds) for row in table.rows] == [
        ("ours [epochs 3]", (1, 2)),
        ("ours [epochs 5]", (1,)),
    ]


def test_the_best_row_of_a_sweep_is_marked() -> None:
    def swept(rate: float, seed: int, dev: float, model: str = "ours") -> Any:
        changed = {} if rate == 1e-5 else {"learning_rate": rate}
        settings = {"learning_rate": rate}
        return make_run(seed, model=model, dev=dev, settings=settings, changed=changed)

    runs = [
        *(swept(1e-4, seed, dev) for seed, dev in ((1, 0.99), (2, 0.5))),
        *(swept(1e-5, seed, dev) for seed, dev in ((1, 0.7), (2, 0.6))),
        *(swept(5e-5, seed, dev) for seed, dev in ((1, 0.8), (2, 0.9))),
        swept(1e-5, 1, 0.99, model="peer"),
    ]
    [table] = tables(runs)
    # The best mean, not the best max; a model with one row has nothing to choose.
    assert [(row.model, row.chosen) for row in table.rows] == [
        ("ours [learning_rate 1e-05]", False),
        ("ours [learning_rate 5e-05]", True),
        ("ours [learning_rate 0.0001]", False),
        ("peer", False),
    ]


def test_a_seed_counts_once() -> None:
    with pytest.raises(UserError, match="the same model, task, settings and seed 1"):
        tables([make_run(1), make_run(1, folder=Path("elsewhere"))])


def test_names_of_metrics_are_the_fields() -> None:
    names = ("accuracy", "em", "f1", "average", "entity_f1", "pearson", "spearman", "my_metric")
    assert [metric_name(name) for name in names] == [
        "accuracy",
        "EM",
        "F1",
        "AVERAGE",
        "entity F1",
        "Pearson",
        "Spearman",
        "my metric",
    ]


def test_every_class_of_ours_is_compared_with() -> None:
    assert tables([make_run(parameters=BASE)])[0].sizes == ("base",)
