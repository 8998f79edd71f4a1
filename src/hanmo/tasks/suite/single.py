"""Entries with one text and one label: sentiment, topics, charges."""

from hanmo.tasks.suite import _clue
from hanmo.tasks.suite._charges import CHARGES
from hanmo.tasks.task import Download, Settings, Task

# Checksums: those of CLUE's archives see `_clue.py`; CAIL 2018's is recorded by a third party
# (huggingface/datasets) for this address; that of the titles is of this project's copy, said to be
# of this commit (unverified). No checksum: none is known.
_HFL = (
    "https://raw.githubusercontent.com/ymcui/Chinese-BERT-wwm/"
    "6076022237f544ca14aeba2f81ddaba94ba72ddb/data"
)
_TITLES = (
    "https://raw.githubusercontent.com/649453932/Chinese-Text-Classification-Pytorch/"
    "6cb26819af7b646275aff8a4693676f2849e67f6/THUCNews/data"
)
_THUCTC = "Sun et al. 2016, THUCTC: An Efficient Chinese Text Classifier (as recalled)"

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
            "and epochs: technical report of BERT-wwm, as recalled (the same in "
            "Chinese-MobileBERT's README); warm-up: default of Google's run_classifier.py",
        ),
        source="https://github.com/ymcui/Chinese-BERT-wwm (data/chnsenticorp)",
        downloads=(
            Download(
                f"{_HFL}/chnsenticorp/chnsenticorp.zip",
                "chnsenticorp.zip",
                members={name: name for name in ("train.tsv", "dev.tsv", "test.tsv")},
            ),
        ),
        citation="Tan and Zhang 2008, An empirical study of sentiment analysis for Chinese "
        "documents",
        licence="none stated; research use",
        published="ChnSentiCorp",
        rows={"train": 9600, "dev": 1200, "test": 1200},
    ),
    Task(
        name="tnews",
        kind="classification",
        splits=_clue.SPLITS,
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
            source=_clue.script("tnews", "8da4a68723") + "; CLUE's own table: batch 16",
        ),
        source=f"{_clue.PAGE} (tnews_public)",
        downloads=_clue.archive(
            "tnews_public.zip", "77c476e70cfe0b014a81b84c6e1db2142a8a2f52f4ae0a8216aa75e673933462"
        ),
        citation=_clue.PAPER,
        licence=_clue.LICENCE,
        published="TNEWS",
        rows={"train": 53360, "dev": 10000, "test": 10000},
    ),
    Task(
        name="iflytek",
        kind="classification",
        splits=_clue.FEW_SPLITS,
        columns={"label": "label", "text_a": "sentence"},
        reader="jsonl",
        labels=tuple(str(label) for label in range(119)),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source=_clue.script("iflytek", "29614fcd99"),
        ),
        source=f"{_clue.PAGE} (iflytek_public)",
        downloads=_clue.archive(
            "iflytek_public.zip",
            "c59b961b29f1d0bad0c5e01aa62e4a61a80e9cfb980ce89b06c000851fbb3b06",
        ),
        citation=_clue.PAPER,
        licence=_clue.LICENCE,
        rows={
            **{"train": 12133, "dev": 2599, "test": 2600},
            "train_few_all.json": 3024,
            "dev_few_all.json": 1373,
            "test_public.json": 1749,
        },
    ),
    Task(
        name="thucnews",
        kind="classification",
        splits={
            "train": ("cnews.train.txt",),
            "dev": ("cnews.val.txt",),
            "test": ("cnews.test.txt",),
        },
        columns={"label": 0, "text_a": 1},
        reader="tsv",
        labels=(*("体育", "财经", "房产", "家居", "教育", "科技", "时尚", "时政", "游戏", "娱乐"),),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=512,
            batch_size=64,
            learning_rate=2e-5,
            epochs=3,
            source="rate: Chinese-BERT-wwm README; length, batch, epochs: technical report of "
            "BERT-wwm, as recalled; warm-up: default of Google's run_classifier.py",
        ),
        source="https://github.com/gaussic/text-classification-cnn-rnn (documents, cnews)",
        request="get THUCNews from http://thuctc.thunlp.org and make the three files with "
        "helper/cnews_group.py of gaussic/text-classification-cnn-rnn",
        citation=_THUCTC,
        licence="free for research, terms of THUCTC",
        published="THUCNews",
        rows={"train": 50000, "dev": 5000, "test": 10000},
    ),
    Task(
        name="thucnews-title",
        kind="classification",
        folders=("thucnews_title",),
        splits={"train": ("train.txt",), "dev": ("dev.txt",), "test": ("test.txt",)},
        columns={"text_a": 0, "label": 1},
        reader="tsv",
        labels=tuple(str(label) for label in range(10)),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=32,
            batch_size=128,
            learning_rate=5e-5,
            epochs=3,
            source="649453932/Bert-Chinese-Text-Classification-Pytorch@1180212e9a models/bert.py; "
            "warm-up: this project's default",
        ),
        source="https://github.com/649453932/Chinese-Text-Classification-Pytorch (titles)",
        downloads=(
            Download(f"{_TITLES}/train.txt", "train.txt"),
            Download(
                f"{_TITLES}/dev.txt",
                "dev.txt",
                "6ed73aa2c57ee1560c8f76570d48735c4b1c29ae4983fe3523d56e115813e175",
            ),
            Download(f"{_TITLES}/test.txt", "test.txt"),
        ),
        citation=_THUCTC,
        licence="repository MIT; the texts: terms of THUCTC, research",
        rows={"train": 180000, "dev": 10000, "test": 10000},
    ),
    Task(
        name="cail2018",
        kind="classification",
        # Files write some with brackets, [引诱、容留、介绍]卖淫, which the judger takes away.
        options={"several": "first", "label_without": "[]"},
        splits={
            "train": ("data_train.json", "train.json"),
            "dev": ("data_valid.json", "dev.json"),
            "test": ("data_test.json", "test.json"),
        },
        columns={"text_a": "fact", "label": "meta.accusation"},
        reader="jsonl",
        labels=CHARGES,
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=512,
            batch_size=32,
            learning_rate=3e-5,
            epochs=3,
            source="this project's choice; ELECTRA's rates: Chinese-ELECTRA README, its section on "
            "legal models; that they are of these files with the first accusation is inferred",
        ),
        electra_learning_rates={"small": 5e-4, "base": 3e-4, "large": 1e-4},
        source="https://github.com/china-ai-law-challenge/CAIL2018",
        downloads=(
            Download(
                "https://cail.oss-cn-qingdao.aliyuncs.com/CAIL2018_ALL_DATA.zip",
                "CAIL2018_ALL_DATA.zip",
                "3c05dfdade742f8b0d5e782d174475e7769448a5f407bfb7f14f0aed72d61d4a",
                {
                    f"exercise_contest/{name}": name
                    for name in ("data_train.json", "data_valid.json", "data_test.json")
                },
                note="939 MiB; its exercise_contest is used",
            ),
        ),
        citation="Xiao et al. 2018, CAIL2018: A Large-Scale Legal Dataset for Judgment Prediction, "
        "arXiv:1807.02478",
        licence="none stated; contest data, research use",
        published="CAIL2018-crime",
        rows={"train": 154592, "dev": 17131, "test": 32508},
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
        rows={"train": 320, "dev": 60, "test": 60},
    ),
)
