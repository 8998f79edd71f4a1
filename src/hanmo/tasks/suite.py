"""The table of tasks: one entry a dataset. To add a dataset of a known kind, add an entry.

File names and columns are those of the published releases; settings are the published ones, with
their source. `find_task` also takes the path of a user's own task file (`task_file.py`).

    find_task("chnsenticorp").settings.max_length   # 256
"""

from collections.abc import Mapping
from pathlib import Path

from hanmo.core.errors import UserError, nearest
from hanmo.tasks.task import Settings, Task
from hanmo.tasks.task_file import read_task

_ENTRIES = (
    Task(
        name="chnsenticorp",
        kind="classification",
        splits={"train": ("train.tsv",), "dev": ("dev.tsv",), "test": ("test.tsv",)},
        columns={"label": "label", "text_a": "text_a"},
        reader="tsv",
        labels=("0", "1"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=256,
            batch_size=64,
            learning_rate=2e-5,
            epochs=3,
            source="learning rate: Chinese-BERT-wwm README (BERT and wwm models); length, batch "
            "and epochs: technical report of BERT-wwm, as recalled; warm-up: its issue 36",
        ),
        source="https://github.com/ymcui/Chinese-BERT-wwm (data/chnsenticorp)",
        citation="Tan and Zhang 2008, An empirical study of sentiment analysis for Chinese "
        "documents",
        licence="none stated; research use",
        published="ChnSentiCorp",
    ),
    Task(
        name="tnews",
        kind="classification",
        splits={"train": ("train.json",), "dev": ("dev.json",), "test": ("test.json",)},
        columns={"label": "label", "text_a": "sentence"},
        reader="jsonl",
        # 105 and 111 are not used by the release.
        labels=tuple(str(label) for label in range(100, 117) if label not in {105, 111}),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source="CLUE baselines, run_classifier_tnews.sh; warm-up: this project's default",
        ),
        source="https://github.com/CLUEbenchmark/CLUE (tnews_public)",
        citation="Xu et al. 2020, CLUE: A Chinese Language Understanding Evaluation Benchmark",
        licence="none stated; research use",
        published="TNEWS",
    ),
    Task(
        name="ocnli",
        kind="classification",
        splits={
            "train": ("train.50k.json", "train.json"),
            "dev": ("dev.json",),
            "test": ("test.json",),
        },
        columns={"label": "label", "text_a": "sentence1", "text_b": "sentence2"},
        reader="jsonl",
        labels=("contradiction", "entailment", "neutral"),
        drop_labels=("-",),  # annotators did not agree
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source="CLUE baselines, run_classifier_cmnli.sh (also inference on sentence pairs)",
        ),
        source="https://github.com/CLUEbenchmark/OCNLI (data/ocnli)",
        citation="Hu et al. 2020, OCNLI: Original Chinese Natural Language Inference",
        licence="CC BY-NC 2.0",
        published="OCNLI",
    ),
    Task(
        name="sample-reviews",
        kind="classification",
        splits={"train": ("train.tsv",), "dev": ("dev.tsv",), "test": ("test.tsv",)},
        columns={"label": "label", "text_a": "text_a"},
        reader="tsv",
        labels=("差评", "好评"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=64,
            batch_size=16,
            learning_rate=2e-4,
            epochs=5,
            source="chosen for the demonstration's tiny models",
        ),
        embedded="samples/reviews",
        source="comes with hanmo",
        citation="written for hanmo",
        licence="Apache-2.0",
    ),
)
TASKS: Mapping[str, Task] = {task.name: task for task in _ENTRIES}


def find_task(name: str) -> Task:
    """Return the entry of that name, or read the task file that `name` is the path of.

    Raises:
        UserError: no such entry (names the nearest) or file, or a bad task file.
    """
    if name.endswith(".toml"):
        return read_task(Path(name))
    if name not in TASKS:
        raise UserError(
            f"task: no {name!r}{nearest(name, TASKS)}; a path to a task.toml describes your own"
        )
    return TASKS[name]
