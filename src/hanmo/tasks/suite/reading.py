"""Reading comprehension: an answer is a span of a passage."""

from hanmo.tasks.task import Download, Settings, Task

# Checksums: of copies that this project holds; those of CMRC 2018 and DRCD's dev are also recorded
# by a third party (huggingface/datasets) for the official files. CJRC's is unverified: the copy is
# said to be of this commit. No checksum: the file is not held and none is recorded.
_CMRC = (
    "https://raw.githubusercontent.com/ymcui/cmrc2018/c0eb1b6ba219847457e6af3180da722bbeb656af/"
    "squad-style-data"
)
_DRCD = (
    "https://raw.githubusercontent.com/DRCKnowledgeTeam/DRCD/"
    "b944790de5af02c5fbb7cd9cb1473d27d169eebf"
)
_CAIL = "https://raw.githubusercontent.com/china-ai-law-challenge/CAIL2019"

_SETTINGS = Settings(
    max_length=512,
    batch_size=32,
    learning_rate=3e-5,
    epochs=2,
    source="ymcui/cmrc2018 baseline/README.md: batch, epochs, length, stride, rate; longest answer "
    "and question, warm-up: defaults of its run_cmrc2018_drcd_baseline.py",
)
_COLUMNS = {"context": "context", "question": "question", "label": "answers"}

ENTRIES = (
    Task(
        name="cmrc2018",
        kind="span",
        splits={
            "train": ("cmrc2018_train.json", "train.json"),
            "dev": ("cmrc2018_dev.json", "dev.json"),
            # test and challenge are not public: CodaLab scores them
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
        downloads=(
            Download(
                f"{_CMRC}/cmrc2018_train.json",
                "cmrc2018_train.json",
                "5497aa2f81908e31d6b0e27d99b1f90ab63a8f58fa92fffe5d17cf62eba0c212",
            ),
            Download(
                f"{_CMRC}/cmrc2018_dev.json",
                "cmrc2018_dev.json",
                "e9ff74231f05c230c6fa88b84441ee334d97234cbb610991cd94b82db00c7f1f",
            ),
            Download(
                f"{_CMRC}/cmrc2018_trial.json",
                "cmrc2018_trial.json",
                "f3fae95b57da8e03afb2b57467dd221417060ef4d82db13bf22fc88589f3a6f3",
            ),
        ),
        citation="Cui et al. 2019, A Span-Extraction Dataset for Chinese Machine Reading "
        "Comprehension, EMNLP-IJCNLP 2019",
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
        downloads=(
            Download(f"{_DRCD}/DRCD_training.json", "DRCD_training.json"),
            Download(
                f"{_DRCD}/DRCD_dev.json",
                "DRCD_dev.json",
                "e236df03861ba241bd7b29628cd48b3b8e339c60137e041a4358b5320ed61928",
            ),
            Download(f"{_DRCD}/DRCD_test.json", "DRCD_test.json"),
        ),
        citation="Shao et al. 2018, DRCD: a Chinese Machine Reading Comprehension Dataset "
        "(authors and title as recalled), arXiv:1806.00920",
        licence="CC BY-SA 3.0",
        published="DRCD",
        rows={"train": 26936, "dev": 3524, "test": 3493},
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
            "BERT-wwm, as recalled; warm-up, stride, longest question and answer: this project's "
            "choice, as CMRC 2018",
        ),
        source="https://github.com/china-ai-law-challenge/CAIL2019 (阅读理解)",
        request="the training split is given by the contest: http://cail.cipsc.org.cn, contact "
        "rdg_cail2019_rc@iflytek.com; its file is called big_train_data.json by third parties",
        downloads=(
            Download(
                f"{_CAIL}/010ebcedb4a1faf0ae25576254d134fa518e4830/阅读理解/data/"
                "dev_ground_truth.json",
                "dev_ground_truth.json",
                "5b93979df9085fcf1b3f72481aa19e6625c4b2da175925d4c9a90f6494c4ef8b",
            ),
            Download(
                f"{_CAIL}/fdfa478fe567803885329e2442b03356da482899/阅读理解/data/"
                "test_ground_truth.json",
                "test_ground_truth.json",
            ),
        ),
        citation="Duan et al. 2019, CJRC: A Reliable Human-Annotated Benchmark DataSet for Chinese "
        "Judicial Reading Comprehension, CCL 2019",
        licence="none stated; contest data, research use",
        published="CJRC",
        rows={"dev": 6000},
    ),
)
