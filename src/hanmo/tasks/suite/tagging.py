"""Named entities: a tag for every character."""

from hanmo.tasks.task import Settings, Task

_COLUMNS = {"text": "text", "label": "tags"}
# Entity level, as seqeval counts them.
_METRICS = ("entity_f1", "entity_precision", "entity_recall", "entity_f1_strict")
_NER = Settings(
    max_length=256,
    batch_size=32,
    learning_rate=3e-5,
    epochs=3,
    source="this project's choice; no published settings are known",
)

ENTRIES = (
    Task(
        name="msra-ner",
        kind="tagging",
        folders=("msra", "MSRA"),
        splits={
            "train": ("msra_train_bio.txt", "train.txt"),
            "dev": ("msra_dev_bio.txt", "dev.txt"),
            "test": ("msra_test_bio.txt", "test.txt"),
        },
        columns=_COLUMNS,
        reader="conll",
        labels=("PER", "LOC", "ORG"),
        metrics=_METRICS,
        settings=_NER,
        source="https://github.com/OYE93/Chinese-NLP-Corpus (NER/MSRA)",
        citation="Levow 2006, The Third International Chinese Language Processing Bakeoff",
        licence="MSRA, SIGHAN 2006: research only",
        published="MSRA-NER",
        corpus="MSRA-NER",
        rows={"train": 45000, "test": 3442},
    ),
    Task(
        name="peoples-daily",
        kind="tagging",
        folders=("peopledaily_hfl", "peopledaily"),
        splits={"train": ("train.txt",), "dev": ("dev.txt",), "test": ("test.txt",)},
        columns=_COLUMNS,
        reader="conll",
        labels=("PER", "LOC", "ORG"),
        metrics=_METRICS,
        settings=_NER,
        source="https://github.com/ymcui/Chinese-BERT-wwm (data/peopledaily)",
        citation="Cui et al. 2021, Pre-Training with Whole Word Masking for Chinese BERT",
        licence="none stated",
        published="PeoplesDaily-NER",
        corpus="MSRA-NER",  # the same texts in other pieces: its dev is MSRA's test
        rows={"train": 50658, "dev": 4631},
    ),
    Task(
        name="cluener",
        kind="tagging",
        splits={"train": ("train.json",), "dev": ("dev.json",), "test": ("test.json",)},
        columns={"text": "text", "label": "label"},
        reader="jsonl",
        labels=(
            *("address", "book", "company", "game", "government"),
            *("movie", "name", "organization", "position", "scene"),
        ),
        metrics=("entity_f1", "entity_macro_f1", "entity_precision", "entity_recall"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=3e-5,
            epochs=4,
            source="CLUENER2020 baselines",
        ),
        source="https://github.com/CLUEbenchmark/CLUENER2020",
        citation="Xu et al. 2020, CLUENER2020: Fine-grained Named Entity Recognition for Chinese",
        licence="none stated; research use",
        rows={"train": 10748, "dev": 1343, "test": 1345},
    ),
)
