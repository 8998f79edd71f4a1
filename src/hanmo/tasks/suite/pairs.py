"""Two texts (or a text and its parts), one label or one number."""

from hanmo.tasks.task import Layout, Settings, Task

_CLUE = "https://github.com/CLUEbenchmark/CLUE"
_CLUE_PAPER = "Xu et al. 2020, CLUE: A Chinese Language Understanding Evaluation Benchmark"
_JSON = {"train": ("train.json",), "dev": ("dev.json",), "test": ("test.json",)}
_NLI = ("contradiction", "entailment", "neutral")
_PAIR = {"label": "label", "text_a": "sentence1", "text_b": "sentence2"}
_RECALLED = "length, batch, epochs: technical report of BERT-wwm, as recalled"
_WWM = f"rate: Chinese-BERT-wwm README; {_RECALLED}"

ENTRIES = (
    Task(
        name="xnli",
        kind="classification",
        folders=("xnli_zh",),
        splits={
            "train": ("multinli.train.zh.tsv", "train.tsv"),
            "dev": ("xnli.dev.tsv", "dev.tsv"),
            "test": ("xnli.test.tsv", "test.tsv", "eval.tsv"),
        },
        columns={"text_a": "text_a", "text_b": "text_b", "label": "label"},
        reader="tsv",
        layouts={
            "multinli.train.zh.tsv": Layout(
                columns={"text_a": "premise", "text_b": "hypo", "label": "label"}, reader="tsv"
            ),
            **{
                name: Layout(
                    columns={"text_a": "sentence1", "text_b": "sentence2", "label": "gold_label"},
                    reader="tsv",
                    keep={"language": "zh"},
                )
                for name in ("xnli.dev.tsv", "xnli.test.tsv")
            },
        },
        labels=_NLI,
        renamed_labels={"contradictory": "contradiction"},
        metrics=("accuracy", "macro_f1"),
        settings=Settings(max_length=128, batch_size=64, learning_rate=3e-5, epochs=2, source=_WWM),
        source="https://github.com/facebookresearch/XNLI",
        citation="Conneau et al. 2018, XNLI: Evaluating Cross-lingual Sentence Representations",
        licence="CC BY-NC 4.0",
        published="XNLI",
        rows={"train": 392702, "dev": 2490, "test": 5010},
    ),
    Task(
        name="ocnli",
        kind="classification",
        splits={
            "train": ("train.50k.json", "train.json"),
            "dev": ("dev.json",),
            "test": ("test.json",),
        },
        columns=_PAIR,
        reader="jsonl",
        labels=_NLI,
        drop_labels=("-",),  # annotators did not agree
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source="CLUEbenchmark/OCNLI rep_baseline.md; warm-up: its script's default",
        ),
        small_learning_rate=5e-5,
        source="https://github.com/CLUEbenchmark/OCNLI (data/ocnli)",
        citation="Hu et al. 2020, OCNLI: Original Chinese Natural Language Inference",
        licence="CC BY-NC 2.0",
        published="OCNLI",
        rows={"train": 50437, "dev": 2950, "test": 3000},
    ),
    Task(
        name="cmnli",
        kind="classification",
        splits=_JSON,
        columns=_PAIR,
        reader="jsonl",
        labels=_NLI,
        drop_labels=("-",),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source="CLUE baselines, run_classifier_cmnli.sh",
        ),
        source=f"{_CLUE} (cmnli_public)",
        citation=_CLUE_PAPER,
        licence="none stated; research use",
        published="CMNLI",
    ),
    Task(
        name="lcqmc",
        kind="classification",
        splits={
            "train": ("train.tsv", "train.txt"),
            "dev": ("dev.tsv", "dev.txt"),
            "test": ("test.tsv", "test.txt", "eval.tsv"),
        },
        columns={"text_a": 0, "text_b": 1, "label": 2},
        reader="tsv",
        labels=("0", "1"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(max_length=128, batch_size=64, learning_rate=2e-5, epochs=3, source=_WWM),
        source="http://icrc.hitsz.edu.cn/info/1037/1146.htm",
        request="ask the Harbin Institute of Technology (Shenzhen) for it, with its form",
        citation="Liu et al. 2018, LCQMC: A Large-scale Chinese Question Matching Corpus",
        licence="research only, no redistribution",
        published="LCQMC",
        rows={"train": 238766, "dev": 8802, "test": 12500},
    ),
    Task(
        name="bq",
        kind="classification",
        folders=("bqcorpus", "bq_corpus"),
        splits={
            "train": ("train.tsv", "train.txt"),
            "dev": ("dev.tsv", "dev.txt"),
            "test": ("test.tsv", "test.txt", "eval.tsv"),
        },
        columns={"text_a": 0, "text_b": 1, "label": 2},
        reader="tsv",
        labels=("0", "1"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(max_length=128, batch_size=64, learning_rate=3e-5, epochs=3, source=_WWM),
        source="http://icrc.hitsz.edu.cn/Article/show/175.html",
        request="ask the Harbin Institute of Technology (Shenzhen) for it, with its form",
        citation="Chen et al. 2018, The BQ Corpus: A Large-scale Domain-specific Chinese Corpus "
        "For Sentence Semantic Equivalence Identification",
        licence="research only, no redistribution",
        published="BQ",
        rows={"train": 100000, "dev": 10000, "test": 10000},
    ),
    Task(
        name="afqmc",
        kind="classification",
        splits=_JSON,
        columns=_PAIR,
        reader="jsonl",
        labels=("0", "1"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source="CLUE baselines, run_classifier_afqmc.sh",
        ),
        source=f"{_CLUE} (afqmc_public)",
        citation=_CLUE_PAPER,
        licence="none stated; research use",
        published="AFQMC",
    ),
    Task(
        name="atec",
        kind="classification",
        splits={
            "train": ("atec_nlp_sim_train.csv", "train.csv"),
            "dev": ("dev.csv",),
            "test": ("test.csv",),
        },
        columns={"text_a": 1, "text_b": 2, "label": 3},
        reader="tsv",  # in spite of the suffix
        labels=("0", "1"),
        metrics=("binary_f1", "accuracy"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source="as AFQMC, which was made of it",
        ),
        source="https://github.com/liuaiting/ATEC (data)",
        citation="Ant Financial 2018, ATEC Learning Challenge: semantic similarity of questions",
        licence="repository Apache-2.0; contest data",
        rows={"train": 39346},
    ),
    Task(
        name="stsb",
        kind="regression",
        folders=("stsb_zh", "sts-b"),
        splits={
            "train": ("cnsd-sts-train.txt",),
            "dev": ("cnsd-sts-dev.txt",),
            "test": ("cnsd-sts-test.txt",),
        },
        columns={"text_a": 1, "text_b": 2, "label": 3},
        reader="tsv",
        delimiter="||",
        metrics=("pearson", "spearman"),
        tabled=2,
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=10,
            source="epochs: Chinese-ELECTRA configure_finetuning.py (sts); the rest as AFQMC",
        ),
        source="https://github.com/pluto-junzeng/CNSD",
        citation="CNSD, the STS benchmark of Cer et al. 2017 in machine translation",
        licence="repository MIT",
        rows={"train": 5231, "dev": 1458, "test": 1361},
    ),
    Task(
        name="csl",
        kind="keywords",
        splits={
            "train": ("train.json", "train_few_all.json"),
            "dev": ("dev.json", "dev_few_all.json"),
            "test": ("test.json", "test_public.json"),
        },
        columns={"text": "abst", "keywords": "keyword", "label": "label"},
        reader="jsonl",
        labels=("0", "1"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=256, batch_size=32, learning_rate=2e-5, epochs=5, source="CLUE baselines"
        ),
        source=f"{_CLUE} (csl_public)",
        citation=_CLUE_PAPER,
        licence="none stated; research use",
    ),
    Task(
        name="cluewsc",
        kind="span_pair",
        folders=("cluewsc2020", "wsc"),
        splits={
            "train": ("train.json", "train_few_all.json"),
            "dev": ("dev.json", "dev_few_all.json"),
            "test": ("test.json", "test_public.json"),
        },
        columns={
            "text": "text",
            "span1": "target.span1_text",
            "span1_start": "target.span1_index",
            "span2": "target.span2_text",
            "span2_start": "target.span2_index",
            "label": "label",
        },
        reader="jsonl",
        labels=("true", "false"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128, batch_size=8, learning_rate=2e-5, epochs=10, source="CLUE baselines"
        ),
        source=f"{_CLUE} (cluewsc2020_public)",
        citation=_CLUE_PAPER,
        licence="none stated; research use",
    ),
)
