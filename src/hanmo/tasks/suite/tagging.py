"""Named entities: a tag for every character."""

from hanmo.tasks.suite import _clue
from hanmo.tasks.task import Download, Settings, Task

# Checksums: MSRA's are recorded by a third party (huggingface/datasets) for branch master, and the
# test's is that of this project's copy too; that the training file is in this commit is unverified.
# None is known for the archives.
_OYE = (
    "https://raw.githubusercontent.com/OYE93/Chinese-NLP-Corpus/"
    "6a1c8002d681792ab705bdd94e13814f76a8ce6e/NER/MSRA"
)
_HFL = (
    "https://raw.githubusercontent.com/ymcui/Chinese-BERT-wwm/"
    "6076022237f544ca14aeba2f81ddaba94ba72ddb/data"
)
_COLUMNS = {"text": "text", "label": "tags"}
# Entity level, as seqeval counts them.
_METRICS = ("entity_f1", "entity_precision", "entity_recall", "entity_f1_strict")

ENTRIES = (
    Task(
        name="msra-ner",
        kind="tagging",
        folders=("msra", "MSRA"),
        splits={
            "train": ("msra_train_bio.txt", "train.txt"),
            "dev": ("msra_dev_bio.txt", "dev.txt"),  # not official
            "test": ("msra_test_bio.txt", "test.txt"),
        },
        columns=_COLUMNS,
        reader="conll",
        labels=("PER", "LOC", "ORG"),
        metrics=_METRICS,
        settings=Settings(
            max_length=256,
            batch_size=16,
            learning_rate=2e-5,
            epochs=5,
            source="CLUE@2ea90461e0 baselines/models/bert/run_ner_msra.sh, written for "
            "ChineseGLUE's release of the corpus; warm-up: BERT's default; HFL states none",
        ),
        source="https://github.com/OYE93/Chinese-NLP-Corpus (NER/MSRA)",
        downloads=(
            Download(
                f"{_OYE}/msra_train_bio.txt",
                "msra_train_bio.txt",
                "b403d1318c5289917ad2ca4136279592521684748327e93f1bf49a3845a40ac7",
            ),
            Download(
                f"{_OYE}/msra_test_bio.txt",
                "msra_test_bio.txt",
                "2be8e580bcb22e9086e4403d82a7ec0f6e18019ebef35b0fd52941724bdf89a3",
            ),
        ),
        citation="Levow 2006, The Third International Chinese Language Processing Bakeoff: Word "
        "Segmentation and Named Entity Recognition, SIGHAN 2006",
        licence="MSRA, SIGHAN 2006: research only",
        published="MSRA-NER",
        corpus="MSRA-NER",
        rows={"train": 45000, "test": 3442},
    ),
    Task(
        name="peoples-daily",
        kind="tagging",
        folders=("peopledaily_hfl", "peopledaily"),
        # no official test
        splits={"train": ("train.txt",), "dev": ("dev.txt",), "test": ("test.txt",)},
        columns=_COLUMNS,
        reader="conll",
        labels=("PER", "LOC", "ORG"),
        metrics=_METRICS,
        settings=Settings(
            max_length=128,
            batch_size=16,
            learning_rate=2e-5,
            epochs=5,
            source="this project's choice: as MSRA-NER, at 128, for no sentence has more than 100 "
            "characters; nothing is published",
        ),
        source="https://github.com/ymcui/Chinese-BERT-wwm (data/peopledaily)",
        downloads=(
            Download(
                f"{_HFL}/peopledaily/peopledaily.zip",
                "peopledaily.zip",
                members={"train.txt": "train.txt", "dev.txt": "dev.txt"},
            ),
        ),
        citation="no paper: MSRA's corpus (Levow 2006) in other pieces, as used by Cui et al. "
        "2021, Pre-Training with Whole Word Masking for Chinese BERT",
        licence="none stated",
        published="PeoplesDaily-NER",
        corpus="MSRA-NER",  # the same texts in other pieces: its dev is MSRA's test
        rows={"train": 50658, "dev": 4631},
    ),
    Task(
        name="cluener",
        kind="tagging",
        splits=_clue.SPLITS,
        columns={"text": "text", "label": "label"},
        reader="jsonl",
        labels=(
            *("address", "book", "company", "game", "government"),
            *("movie", "name", "organization", "position", "scene"),
        ),
        metrics=("entity_f1", "entity_macro_f1", "entity_precision", "entity_recall"),
        settings=Settings(
            max_length=128,
            batch_size=24,
            learning_rate=3e-5,
            epochs=4,
            source="CLUENER2020@590cd5e226 pytorch_version/run_ner_softmax.sh; warm-up: this "
            "project's default",
        ),
        source="https://github.com/CLUEbenchmark/CLUENER2020",
        downloads=_clue.archive("cluener_public.zip"),
        citation="Xu et al. 2020, CLUENER2020: Fine-grained Named Entity Recognition Dataset and "
        "Benchmark for Chinese, arXiv:2001.04351",
        licence="none stated; made of THUCTC's texts",
        rows={"train": 10748, "dev": 1343, "test": 1345},
    ),
)
