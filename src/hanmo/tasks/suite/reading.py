"""Reading comprehension: an answer is a span of a passage."""

from hanmo.tasks.task import Settings, Task

_SETTINGS = Settings(
    max_length=512,
    batch_size=32,
    learning_rate=3e-5,
    epochs=2,
    source="ymcui/cmrc2018 baseline/README.md: batch, epochs, length, stride, rate; longest answer "
    "and question: its script's defaults; warm-up: the same",
)
_COLUMNS = {"context": "context", "question": "question", "label": "answers"}

ENTRIES = (
    Task(
        name="cmrc2018",
        kind="span",
        splits={
            "train": ("cmrc2018_train.json", "train.json"),
            "dev": ("cmrc2018_dev.json", "dev.json"),
            "test": ("cmrc2018_test.json", "test.json"),
            "trial": ("cmrc2018_trial.json", "trial.json"),
            "challenge": ("cmrc2018_challenge.json", "challenge.json"),
        },
        columns=_COLUMNS,
        reader="squad",
        metrics=("em", "f1", "average"),
        tabled=2,
        settings=_SETTINGS,
        source="https://github.com/ymcui/cmrc2018 (squad-style-data)",
        citation="Cui et al. 2019, A Span-Extraction Dataset for Chinese Machine Reading "
        "Comprehension",
        licence="CC BY-SA 4.0",
        published="CMRC2018",
        rows={"train": 10142, "dev": 3219, "trial": 1002},
    ),
    Task(
        name="drcd",
        kind="span",
        splits={
            "train": ("DRCD_training.json", "train.json"),
            "dev": ("DRCD_dev.json", "dev.json"),
            "test": ("DRCD_test.json", "test.json"),
        },
        columns=_COLUMNS,
        reader="squad",
        metrics=("em", "f1", "average"),
        tabled=2,
        settings=_SETTINGS,
        source="https://github.com/DRCKnowledgeTeam/DRCD",
        citation="Shao et al. 2018, DRCD: a Chinese Machine Reading Comprehension Dataset",
        licence="CC BY-SA 3.0",
        published="DRCD",
        rows={"dev": 3524, "test": 3493},
    ),
    Task(
        name="cjrc",
        kind="span",
        options={"no_answer": True, "yes_no": True},
        splits={
            "train": ("big_train_data.json", "train.json"),
            "dev": ("dev_ground_truth.json", "dev.json"),
            "test": ("test_ground_truth.json", "test.json"),
        },
        columns={**_COLUMNS, "is_impossible": "is_impossible"},
        reader="squad",
        metrics=("cjrc_em", "cjrc_f1"),
        tabled=2,
        settings=Settings(
            max_length=512,
            batch_size=64,
            learning_rate=4e-5,
            epochs=2,
            source="rate: Chinese-BERT-wwm README; length, batch, epochs: technical report of "
            "BERT-wwm, as recalled",
        ),
        source="https://github.com/china-ai-law-challenge/CAIL2019 (阅读理解)",
        citation="Duan et al. 2019, CJRC: A Reliable Human-Annotated Benchmark DataSet for Chinese "
        "Judicial Reading Comprehension",
        licence="none stated; contest data, research use",
        published="CJRC",
        rows={"dev": 6000},
    ),
)
