"""The contract of tasks, run over every entry of the suite."""

import pytest

from hanmo.core import registry
from hanmo.report.published import results
from hanmo.tasks.kind import load_kind
from hanmo.tasks.metrics import METRICS
from hanmo.tasks.readers import READERS
from hanmo.tasks.suite import TASKS, find_task
from hanmo.tasks.task import SPLITS, Task
from hanmo.tasks.task_file import KINDS


@pytest.fixture(params=sorted(TASKS))
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]


def test_an_entry_is_complete(task: Task) -> None:
    assert find_task(task.name) is task
    assert task.kind in registry.names(KINDS)
    assert task.reader in READERS
    assert "train" in task.splits
    assert set(task.splits) <= set(SPLITS)
    assert all(task.splits.values())
    for text in (task.source, task.citation, task.licence, task.settings.source):
        assert text


def test_it_names_the_columns_of_its_kind(task: Task) -> None:
    kind = load_kind(task.kind)
    needed = {*kind.fields, "label"}
    assert needed <= task.columns.keys() <= needed | set(kind.optional_fields)


def test_labels_and_metrics_are_known(task: Task) -> None:
    assert len(set(task.labels)) == len(task.labels) >= 2
    assert not set(task.labels) & set(task.drop_labels)
    assert set(task.metrics) <= set(METRICS)
    assert task.metrics


def test_the_published_name_has_results(task: Task) -> None:
    if task.published:
        assert results(task.published, metric=task.metrics[0])
    else:
        assert task.embedded, "only a task of this project's own has no published results"
