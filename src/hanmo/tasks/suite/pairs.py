"""Two texts (or a text and its parts), one label or one number."""

from hanmo.tasks.suite import _clue
from hanmo.tasks.task import Download, Layout, Settings, Task

# Checksums: those of CLUE's archives see `_clue.py`; XNLI's are recorded by a third party
# (huggingface/datasets) for these addresses; OCNLI's are of copies that this project holds and
# recorded by third parties for the official files; those of ATEC and STS-B are of this project's
# copies, said to be of these commits (unverified).
_XNLI = "https://dl.fbaipublicfiles.com/XNLI"
_OCNLI = (
    "https://raw.githubusercontent.com/CLUEbenchmark/OCNLI/"
    "b53efdee17257a5c33993cf6fcf8ffff0497ea0e/data/ocnli"
)
_ATEC = (
    "https://raw.githubusercontent.com/liuaiting/ATEC/16b0f9a895120cd17e94f45bc96890bf42212f97/data"
)
_CNSD = (
    "https://raw.githubusercontent.com/shuxinyin/SimCSE-Pytorch/"
    "c5bc95a68dee4bdc53856cf2850d9795d7e748d4/data/STS-B"
)
_NLI = ("contradiction", "entailment", "neutral")
_PAIR = {"label": "label", "text_a": "sentence1", "text_b": "sentence2"}
_WWM = (
    "rate: Chinese-BERT-wwm README; length, batch, epochs: technical report of BERT-wwm, as "
    "recalled (the same in Chinese-MobileBERT's README); warm-up: "
)
_GOOGLE = "default of Google's run_classifier.py"
# The form in which the owner gives LCQMC and BQ; tables without a header are copies in use.
_OFFICIAL = Layout(
    columns={"label": "gold_label", "text_a": "sentence1", "text_b": "sentence2"}, reader="jsonl"
)

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
        settings=Settings(
            max_length=128, batch_size=64, learning_rate=3e-5, epochs=2, source=_WWM + _GOOGLE
        ),
        source="https://github.com/facebookresearch/XNLI",
        downloads=(
            Download(
                f"{_XNLI}/XNLI-1.0.zip",
                "XNLI-1.0.zip",
                "4ba1d5e1afdb7161f0f23c66dc787802ccfa8a25a3ddd3b165a35e50df346ab1",
                {name: name for name in ("xnli.dev.tsv", "xnli.test.tsv")},
            ),
            Download(
                f"{_XNLI}/XNLI-MT-1.0.zip",
                "XNLI-MT-1.0.zip",
                "f732517ba2fb1d550e9f3c2aabaef6017c91ee2dcec90e878f138764d224db05",
                {"multinli.train.zh.tsv": "multinli.train.zh.tsv"},
                note="445 MiB",
            ),
        ),
        citation="Conneau et al. 2018, XNLI: Evaluating Cross-lingual Sentence Representations, "
        "EMNLP 2018",
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
            source="CLUEbenchmark/OCNLI@ca2ed90713 rep_baseline.md; warm-up: default of CLUE's "
            "run_classifier.py, of which its script is made",
        ),
        small_learning_rate=5e-5,
        source="https://github.com/CLUEbenchmark/OCNLI (data/ocnli)",
        downloads=(
            Download(
                f"{_OCNLI}/train.50k.json",
                "train.50k.json",
                "cb47a6c00105bfb49bbb791dd537b284d3138f9f1ad5cd1e187afc470ff004e0",
            ),
            Download(
                f"{_OCNLI}/dev.json",
                "dev.json",
                "001ded235d73a18dac68a45a38cd5f9b3f9311fa4246df623e199422c073ddc5",
            ),
            Download(
                f"{_OCNLI}/test.json",
                "test.json",
                "5fb387fd5188ea7de7c13dda0c56d44fba50d526a126a7926a5e5d131fde86bb",
            ),
        ),
        citation="Hu et al. 2020, OCNLI: Original Chinese Natural Language Inference, "
        "Findings of EMNLP 2020",
        licence="CC BY-NC 2.0",
        published="OCNLI",
        rows={"train": 50437, "dev": 2950, "test": 3000},
    ),
    Task(
        name="cmnli",
        kind="classification",
        splits=_clue.SPLITS,
        columns={**_PAIR, "label": ("label", "gold_label")},  # an old version has the second one
        reader="jsonl",
        labels=_NLI,
        drop_labels=("-",),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source=_clue.script("cmnli", "8da4a68723")
            + "; CLUE's own table: batch 64, rate 3e-5, 2 epochs",
        ),
        source=f"{_clue.PAGE} (cmnli_public)",
        downloads=_clue.archive(
            "cmnli_public.zip", "3a3f3b1d3d27134cf11e585156f07fa050bd0a0836821c02696af0dbaa14513b"
        ),
        citation=_clue.PAPER,
        licence=f"{_clue.LICENCE}; XNLI and MultiNLI in machine translation",
        published="CMNLI",
        # CLUE's README has one training row less.
        rows={"train": 391783, "dev": 12241, "test": 13880},
    ),
    Task(
        name="lcqmc",
        kind="classification",
        splits={
            "train": ("LCQMC_train.json", "train.tsv", "train.txt"),
            "dev": ("LCQMC_dev.json", "dev.tsv", "dev.txt"),
            "test": ("LCQMC_test.json", "test.tsv", "test.txt", "eval.tsv"),
        },
        columns={"text_a": 0, "text_b": 1, "label": 2},
        reader="tsv",
        layouts={f"LCQMC_{split}.json": _OFFICIAL for split in ("train", "dev", "test")},
        labels=("0", "1"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=64,
            learning_rate=2e-5,
            epochs=3,
            source=_WWM + "a user's words in Chinese-BERT-wwm issue 36, unconfirmed",
        ),
        source="http://icrc.hitsz.edu.cn/info/1037/1146.htm",
        request="apply to the authors (Harbin Institute of Technology, Shenzhen) with the form "
        "named at http://icrc.hitsz.edu.cn/info/1037/1146.htm",
        citation="Liu et al. 2018, LCQMC: A Large-scale Chinese Question Matching Corpus, "
        "COLING 2018",
        licence="none stated; research only, on request",
        published="LCQMC",
        rows={"train": 238766, "dev": 8802, "test": 12500},
    ),
    Task(
        name="bq",
        kind="classification",
        folders=("bqcorpus", "bq_corpus"),
        splits={
            "train": ("BQ_train.json", "train.tsv", "train.txt"),
            "dev": ("BQ_dev.json", "dev.tsv", "dev.txt"),
            "test": ("BQ_test.json", "test.tsv", "test.txt", "eval.tsv"),
        },
        columns={"text_a": 0, "text_b": 1, "label": 2},
        reader="tsv",
        layouts={f"BQ_{split}.json": _OFFICIAL for split in ("train", "dev", "test")},
        labels=("0", "1"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128, batch_size=64, learning_rate=3e-5, epochs=3, source=_WWM + _GOOGLE
        ),
        source="http://icrc.hitsz.edu.cn/Article/show/175.html",
        request="fill in the form at http://icrc.hitsz.edu.cn/Article/show/175.html and send it to "
        "Qingcai Chen (qingcai.chen@hit.edu.cn) or Jing Chen (mcdh.chenjing@gmail.com)",
        citation="Chen et al. 2018, The BQ Corpus: A Large-scale Domain-specific Chinese Corpus "
        "For Sentence Semantic Equivalence Identification, EMNLP 2018",
        licence="none stated; on request, no redistribution",
        published="BQ",
        rows={"train": 100000, "dev": 10000, "test": 10000},
    ),
    Task(
        name="afqmc",
        kind="classification",
        splits=_clue.SPLITS,
        columns=_PAIR,
        reader="jsonl",
        labels=("0", "1"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=128,
            batch_size=32,
            learning_rate=2e-5,
            epochs=3,
            source=_clue.script("afqmc", "8da4a68723") + "; CLUE's own table: batch 16",
        ),
        source=f"{_clue.PAGE} (afqmc_public)",
        downloads=_clue.archive(
            "afqmc_public.zip", "5a4cb1556b833010c329fa2ad2207d9e98fc94071b7e474015e9dd7c385db4dc"
        ),
        citation=_clue.PAPER,
        licence=_clue.LICENCE,
        published="AFQMC",
        rows={"train": 34334, "dev": 4316, "test": 3861},
    ),
    Task(
        name="atec",
        kind="classification",
        splits={
            "train": ("atec_nlp_sim_train.csv", "train.csv"),
            "dev": ("dev.csv",),  # neither split is official: the contest's test is hidden
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
            source="this project's choice: as AFQMC; nothing is published",
        ),
        source="https://github.com/liuaiting/ATEC (data), a third party's copy; the contest: "
        "https://dc.cloud.alipay.com/index#/topic/intro?id=8",
        downloads=(
            Download(
                f"{_ATEC}/atec_nlp_sim_train.csv",
                "atec_nlp_sim_train.csv",
                "3829a42ae79f5dcdbae176a4e371a4fdadba8e8afe7ebb5d5f83eb2ea89fb47c",
                note="third-party copy",
            ),
        ),
        citation="ATEC contest of Ant Financial, 2018 (as recalled): semantic similarity of "
        "questions; no paper found",
        licence="none stated; contest data (the copy's repository: Apache-2.0)",
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
            source="this project's choice, nothing is published; epochs: Chinese-ELECTRA "
            "configure_finetuning.py (sts)",
        ),
        source="https://github.com/pluto-junzeng/CNSD, whose link to an archive has probably "
        "expired; a third party's copy: https://github.com/shuxinyin/SimCSE-Pytorch (data/STS-B)",
        downloads=(
            Download(
                f"{_CNSD}/cnsd-sts-train.txt",
                "cnsd-sts-train.txt",
                "68a8f758d0c678fb12398d1c56220988ef044175b7227147bfa0c8e08edcdb2d",
                note="third-party copy",
            ),
            Download(
                f"{_CNSD}/cnsd-sts-dev.txt",
                "cnsd-sts-dev.txt",
                "04aca7d45648569ab1e752dc2aa29f432bd3ec610ab7e849df47fdfa9b2ac6a5",
                note="third-party copy",
            ),
            Download(
                f"{_CNSD}/cnsd-sts-test.txt",
                "cnsd-sts-test.txt",
                "db7bc060e89b850df2f5250a28ea582452a9df1a9d52e2d94ff0adbf3de4d3fb",
                note="third-party copy",
            ),
        ),
        citation="CNSD: A large-scale Chinese Nature language inference and Semantic similarity "
        "calculation Dataset (2019): STS-B in machine translation",
        licence="academic use only (CNSD README)",
        rows={"train": 5231, "dev": 1458, "test": 1361},
    ),
    Task(
        name="csl",
        kind="keywords",
        splits=_clue.FEW_SPLITS,
        columns={"text": "abst", "keywords": "keyword", "label": "label"},
        reader="jsonl",
        labels=("0", "1"),
        metrics=("accuracy", "macro_f1"),
        settings=Settings(
            max_length=256,
            batch_size=4,
            learning_rate=1e-5,
            epochs=5,
            source="CLUE@21ef108ad5 README.md, the row of BERT-base in its table of results; "
            + _clue.WARM_UP,
        ),
        source=f"{_clue.PAGE} (csl_public)",
        downloads=_clue.archive(
            "csl_public.zip", "795d1a2e475d59acad8236f6c5baba7a0b43d3e0508cb60f15ffbc76d5f437c4"
        ),
        citation=_clue.PAPER,
        licence=_clue.LICENCE,
        rows={
            **{"train": 20000, "dev": 3000, "test": 3000},
            "train_few_all.json": 160,
            "dev_few_all.json": 160,
            "test_public.json": 2838,
        },
    ),
    Task(
        name="cluewsc",
        kind="span_pair",
        folders=("cluewsc2020", "wsc"),
        splits=_clue.FEW_SPLITS,
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
            max_length=128,
            batch_size=8,
            learning_rate=2e-5,
            epochs=50,
            source="CLUE@21ef108ad5 README.md, the row of BERT-base in its table of results; "
            + _clue.WARM_UP,
        ),
        source=f"{_clue.PAGE} (cluewsc2020_public)",
        downloads=_clue.archive(
            "cluewsc2020_public.zip",
            "ebe5f357b19392d601be401b2fd4246983f534809a078eab7bda1de418fb3ffe",
        ),
        citation=_clue.PAPER,
        licence=_clue.LICENCE,
        rows={
            **{"train": 1244, "dev": 304, "test": 2574},
            "train_few_all.json": 160,
            "dev_few_all.json": 159,
            "test_public.json": 976,
        },
    ),
)
