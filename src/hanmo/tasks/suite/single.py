"""Entries with one text and one label: sentiment, topics, charges."""

from hanmo.tasks.task import Layout, Settings, Task

_CLUE = "https://github.com/CLUEbenchmark/CLUE"
_CLUE_PAPER = "Xu et al. 2020, CLUE: A Chinese Language Understanding Evaluation Benchmark"
_JSON = {"train": ("train.json",), "dev": ("dev.json",), "test": ("test.json",)}
_FEW = {
    "train": ("train.json", "train_few_all.json"),
    "dev": ("dev.json", "dev_few_all.json"),
    "test": ("test.json", "test_public.json"),
}

ENTRIES = (
    Task(
        name="chnsenticorp",
        kind="classification",
        splits={
            "train": ("train.tsv",),
            "dev": ("dev.tsv",),
            "test": ("test.tsv", "eval.tsv"),
        },
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
        rows={"train": 9600, "dev": 1200, "test": 1200},
    ),
    Task(
        name="tnews",
        kind="classification",
        splits=_JSON,
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
        source=f"{_CLUE} (tnews_public)",
        citation=_CLUE_PAPER,
        licence="none stated; research use",
        published="TNEWS",
        rows={"train": 53360, "dev": 10000},
    ),
    Task(
        name="iflytek",
        kind="classification",
        splits=_FEW,
        columns={"label": "label", "text_a": "sentence"},
        reader="jsonl",
        labels=tuple(str(label) for label in range(119)),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source="CLUE baselines",
        ),
        source=f"{_CLUE} (iflytek_public)",
        citation=_CLUE_PAPER,
        licence="none stated; research use",
    ),
    Task(
        name="thucnews",
        kind="classification",
        folders=("thucnews_title",),
        splits={
            "train": ("train.txt", "cnews.train.txt"),
            "dev": ("dev.txt", "cnews.val.txt"),
            "test": ("test.txt", "cnews.test.txt"),
        },
        columns={"text_a": 0, "label": 1},
        reader="tsv",
        layouts={
            name: Layout(columns={"label": 0, "text_a": 1}, reader="tsv")
            for name in ("cnews.train.txt", "cnews.val.txt", "cnews.test.txt")
        },
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=512,
            batch_size=64,
            learning_rate=2e-5,
            epochs=3,
            source="rate: Chinese-BERT-wwm README; length, batch, epochs: technical report of "
            "BERT-wwm, as recalled",
        ),
        source="http://thuctc.thunlp.org",
        citation="Sun et al. 2016, THUCTC: An Efficient Chinese Text Classifier",
        licence="free for research",
        published="THUCNews",
        rows={"dev": 10000},
    ),
    Task(
        name="cail2018",
        kind="classification",
        splits={
            "train": ("data_train.json", "train.json"),
            "dev": ("data_valid.json", "dev.json"),
            "test": ("data_test.json", "test.json"),
        },
        columns={"text_a": "fact", "label": "meta.accusation"},
        reader="jsonl",
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=512,
            batch_size=32,
            learning_rate=3e-5,
            epochs=3,
            source="this project's choice",
        ),
        source="https://github.com/china-ai-law-challenge/CAIL2018",
        citation="Xiao et al. 2018, CAIL2018: A Large-Scale Legal Dataset for Judgment Prediction",
        licence="none stated; contest data, research use",
        published="CAIL2018-crime",
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
