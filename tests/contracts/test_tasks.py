"""The contract of tasks, run over every entry of the suite."""

import pytest

from hanmo.core import registry
from hanmo.model.config import SIZES
from hanmo.report.published import results
from hanmo.tasks.kind import load_kind
from hanmo.tasks.metrics import check_metric
from hanmo.tasks.protocol import published
from hanmo.tasks.readers import READERS, check_reader
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
    kind = load_kind(task.kind, task.options)
    assert len(set(task.labels)) == len(task.labels) != 1
    assert not set(task.labels) & set(task.drop_labels)
    assert set(task.renamed_labels.values()) <= set(task.labels)
    for metric in task.metrics:
        check_metric(metric, kind.answers)
    assert 1 <= task.tabled <= len(task.metrics)


def test_the_published_name_has_results(task: Task) -> None:
    if task.published:
        assert results(task.published, metric=task.metrics[0])
        assert results(task.published, metric=task.metrics[task.tabled - 1])


def test_layouts_are_of_files_that_are_looked_for(task: Task) -> None:
    names = {name for split in task.splits.values() for name in split}
    assert task.layouts.keys() <= names
    kind = load_kind(task.kind)
    for layout in (task.layout(name) for name in names):
        assert {*kind.fields, "label"} <= layout.columns.keys()
        check_reader(layout.reader)
    for download in task.downloads:
        assert download.url.startswith("https://")
        assert not download.sha256 or len(bytes.fromhex(download.sha256)) == 32
        assert (
            {*download.members.values()} <= names if download.members else (download.file in names)
        )
        assert download.members.keys().isdisjoint({"", "."})
    assert set(task.rows) <= set(task.splits) | names
    assert task.published_rows("train", task.splits["train"][0]) == task.rows.get("train")


def test_it_says_how_its_files_are_got(task: Task) -> None:
    if task.embedded or task.request:
        return
    got = {name for one in task.downloads for name in (*one.members.values(), one.file)}
    assert got & set(task.splits["train"])


def test_published_settings_are_known_for_every_family(task: Task) -> None:
    for size in ("tiny", "small", "base", "large", "rbt3", "electra-small", "electra-large"):
        settings = published(task, SIZES[size])
        assert settings.source
        assert settings.warmup_rate == 0.1
        if not task.embedded:
            assert settings.learning_rate <= (5e-4 if size == "electra-small" else 1e-4)
    usual = {"small": 3e-4, "base": 1e-4, "large": 5e-5}
    for size, rate in ({} if task.embedded else {**usual, **task.electra_learning_rates}).items():
        assert published(task, SIZES[f"electra-{size}"]).learning_rate == rate


def test_rows_of_a_file_come_before_those_of_its_split() -> None:
    task = find_task("csl")
    assert task.published_rows("train", "train.json") == 20000
    assert task.published_rows("train", "train_few_all.json") == 160
    assert find_task("cmrc2018").published_rows("test", "cmrc2018_test.json") is None


def test_documents_and_titles_of_thucnews_are_two_tasks() -> None:
    documents, titles = find_task("thucnews"), find_task("thucnews-title")
    assert (documents.published, titles.published) == ("THUCNews", "")
    assert not {documents.name, *documents.folders} & {titles.name, *titles.folders}
    assert documents.rows["train"] == 50000


def test_people_s_daily_shares_msra_s_texts() -> None:
    assert find_task("peoples-daily").corpus == find_task("msra-ner").corpus == "MSRA-NER"
