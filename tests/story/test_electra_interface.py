"""Chinese-ELECTRA's interface from end to end: its directory, its JSON, its results."""

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from hanmo.cli import main
from hanmo.core.artifact import verify
from hanmo.model.checkpoint import save_model
from hanmo.model.config import SIZES, EncoderConfig
from hanmo.model.encoder import initialise
from hanmo.model.masked_lm import MaskedLm
from hanmo.tasks.metrics import score
from hanmo.text.tokenizer import Tokenizer
from training_cases import TINY_ELECTRA

# Upstream's example (README, step 3), comma included.
EXAMPLE = """{
    "task_names": ["cmrc2018"],
    "max_seq_length": 512,
    "vocab_size": 21128,
    "model_size": "small",
    "do_train": true,
    "do_eval": true,
    "write_test_outputs": true,
    "num_train_epochs": 2,
    "learning_rate": 3e-4,
    "train_batch_size": 32,
    "eval_batch_size": 32,
}
"""
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "，", "。", "？"]
PIECES = [*SPECIAL, *(chr(0x4E00 + i) for i in range(20902))]
VOCAB = [*PIECES, *(f"[unused{i}]" for i in range(21128 - len(PIECES)))]
SHAPE = dataclasses.replace(TINY_ELECTRA, vocab_size=len(VOCAB))
TINY: dict[str, Any] = {
    "model_hparam_overrides": {
        "hidden_size": SHAPE.hidden_size,
        "num_hidden_layers": SHAPE.num_hidden_layers,
        "num_attention_heads": SHAPE.num_attention_heads,
        "intermediate_size": SHAPE.intermediate_size,
    },
    "embedding_size": SHAPE.embedding_size,
    "max_seq_length": 32,
    "num_train_epochs": 1,
}
PASSAGES = [
    (
        "李明住在河边的小镇，每天早上步行去学校教数学。",
        [("李明住在哪里？", "河边的小镇"), ("李明教什么？", "数学")],
    ),
    (
        "这座桥建于三十年前，由石头砌成，桥下可以行船。",
        [("桥是什么时候建的？", "三十年前"), ("桥由什么砌成？", "石头")],
    ),
    ("茶馆下午三点开门，晚上十点关门，周一休息。", [("茶馆几点开门？", "下午三点")]),
]


def write_model(folder: Path, shape: EncoderConfig = SHAPE) -> None:
    model = MaskedLm(shape)
    initialise(model, 0.02, torch.Generator().manual_seed(0))
    save_model(folder, model, tokenizer=Tokenizer(VOCAB))
    path = folder / "config.json"  # as upstream's models, it is a discriminator
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**raw, "architectures": ["ElectraForPreTraining"]}), "utf-8")


def write_questions(path: Path, *, answers: bool = True) -> None:
    paragraphs = []
    for number, (context, asked) in enumerate(PASSAGES):
        questions = [
            {"id": f"Q_{number}_{i}", "question": question}
            | (
                {"answers": [{"text": text, "answer_start": context.index(text)}]}
                if answers
                else {}
            )
            for i, (question, text) in enumerate(asked)
        ]
        paragraphs.append({"context": context, "id": f"P_{number}", "qas": questions})
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {"version": "v1.0", "data": [{"paragraphs": paragraphs, "title": "自拟"}]}
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def write_tsv(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def pairs(n: int = 8) -> list[list[str]]:
    return [[f"你好{chr(0x4E00 + i)}", "早上好", str(i % 2)] for i in range(n)]


def finetune(root: Path, hparams: str | dict[str, Any], *words: str, model: str = "m") -> int:
    text = hparams if isinstance(hparams, str) else json.dumps(hparams)
    where = ["--data-dir", str(root), "--model-name", model, "--hparams", text]
    return main(["finetune", *where, "--threads", "1", "--precision", "fp32", *words])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANMO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_model(tmp_path / "models" / "m")
    return tmp_path


def data(root: Path, task: str, file: str) -> Path:
    return root / "finetuning_data" / task / file


def test_the_readmes_example_as_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "models" / "electra-small", SIZES["electra-small"])
    params = tmp_path / "params_cmrc2018.json"
    params.write_text(EXAMPLE, encoding="utf-8")
    for name in ("train", "dev"):
        write_questions(data(tmp_path, "cmrc2018", f"{name}.json"))
    assert finetune(tmp_path, str(params), model="electra-small") == 0
    out, err = capsys.readouterr()
    assert "eval.json: no such file; the test split is left out" in err
    results = tmp_path / "models" / "electra-small" / "results"
    line = (results / "cmrc2018_results.txt").read_text()
    assert out.startswith(line)
    answers = json.loads((results / "cmrc2018_qa" / "cmrc2018_dev_preds.json").read_text())
    asked = [
        (f"Q_{n}_{i}", text)
        for n, (_, questions) in enumerate(PASSAGES)
        for i, (_, text) in enumerate(questions)
    ]
    assert list(answers) == [name for name, _ in asked]
    found = score(("em", "f1"), [(text,) for _, text in asked], list(answers.values()), labels=())
    assert line == (
        f"cmrc2018: exact_match: {100 * found['em']:.2f} - f1: {100 * found['f1']:.2f}\n"
    )
    [trial] = pickle.loads((results / "cmrc2018_results.pkl").read_bytes())
    assert trial["cmrc2018"]["f1"] == pytest.approx(100 * found["f1"])
    run = tmp_path / "models/electra-small/finetuning_models/cmrc2018_model_1"
    verify(run)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["changed"] == {}  # upstream's example is what hanmo takes for published
    assert (metrics["settings"]["schedule"], metrics["settings"]["clip_norm"]) == (
        "electra",
        1 / 32,
    )
    assert (run / "model" / "model.safetensors").is_file()
    # The run's own settings repeat the command; what is finished is left alone.
    before = (run / "metrics.json").stat().st_mtime_ns
    assert main(["finetune", "--config", str(run / "config.toml")]) == 0
    assert (run / "metrics.json").stat().st_mtime_ns == before


def test_trials_answers_and_a_run_that_is_only_scored(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "dev"):
        write_questions(data(root, "drcd", f"{name}.json"))
    write_questions(data(root, "drcd", "eval.json"), answers=False)
    own = {**TINY, "task_names": ["drcd"], "num_trials": 2, "keep_all_models": False}
    own |= {"write_test_outputs": True, "doc_stride": 16}
    assert finetune(root, own) == 0
    model = root / "models" / "m"
    names = sorted(path.name for path in (model / "results" / "drcd_qa").iterdir())
    assert names == sorted(
        f"drcd_{split}{number}_preds.json"
        for split in ("dev", "eval")
        for number in ("", "_1", "_2")
    )
    lines = (model / "results" / "drcd_results.txt").read_text().splitlines()
    assert len(lines) == 2  # dev of each trial; eval has no answers to score against
    runs = [model / "finetuning_models" / f"drcd_model_{trial}" for trial in (1, 2)]
    assert [(run / "model").is_dir() for run in runs] == [False, True]
    metrics = [json.loads((run / "metrics.json").read_text()) for run in runs]
    assert [one["seed"] for one in metrics] == [1, 2]
    assert metrics[0]["options"]["doc_stride"] == 16
    (model / "results" / "drcd_results.txt").unlink()
    assert finetune(root, {**own, "do_train": False}) == 0
    assert (model / "results" / "drcd_results.txt").read_text().splitlines() == lines
    write_questions(data(root, "drcd", "eval.json"))
    assert finetune(root, {**own, "do_train": False}) == 2
    assert "predicted other data for" in capsys.readouterr().err
    capsys.readouterr()
    assert finetune(root, {**own, "do_eval": False, "do_test": False, "do_train": False}) == 0
    assert capsys.readouterr().out.startswith("nothing to score; runs: ")
    # Other settings: the run is replaced, as upstream empties the folder.
    assert finetune(root, {**own, "doc_stride": 8}) == 0
    assert "was made with other settings; made again" in capsys.readouterr().err
    assert len((model / "results" / "drcd_results.txt").read_text().splitlines()) == 4


def test_classification_with_headers_headless_files_and_a_vocabulary_above(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = root / "models" / "m"
    (model / "vocab.txt").rename(root / "vocab.txt")
    (model / "tokenizer.json").unlink()
    write_tsv(data(root, "lcqmc", "train.tsv"), pairs())
    write_tsv(data(root, "lcqmc", "dev.tsv"), [["text_a", "text_b", "label"], *pairs()])
    write_tsv(data(root, "lcqmc", "eval.tsv"), [["问句一", "问句二", "标签"], *pairs()])
    own = {**TINY, "task_names": ["lcqmc"], "write_test_outputs": True, "use_tpu": True}
    assert finetune(root, own) == 0
    out, err = capsys.readouterr()
    assert "no effect here: use_tpu\n" in err
    assert "write_test_outputs: upstream has no accuracy of lcqmc then; hanmo has" in err
    assert "train.tsv: the first line has the label '0', so it is data and is read" in err
    assert "dev.tsv: the first line" not in err
    assert out.startswith("lcqmc: accuracy: 50.00 - loss: 0.")
    run = model / "finetuning_models" / "lcqmc_model_1"
    splits = json.loads((run / "metrics.json").read_text())["splits"]
    assert {name: one["examples"] for name, one in splits.items()} == {
        "train": 8,
        "dev": 8,
        "test": 8,
    }
    trials = pickle.loads((model / "results" / "lcqmc_results.pkl").read_bytes())
    assert [list(one["lcqmc"]) for one in trials] == [["accuracy", "loss"]] * 2


def test_xnli_has_other_columns_in_dev_and_eval(root: Path) -> None:
    labels = ("contradictory", "entailment", "neutral")
    write_tsv(
        data(root, "xnli", "train.tsv"),
        [["premise", "hypo", "label"], *([f"前提{i}", "假设", labels[i % 3]] for i in range(6))],
    )
    # As in the published files: all languages, and another word for the same label.
    names = ["language", "gold_label", *"abcd", "sentence1", "sentence2", "e"]
    spoken = [("zh", "contradiction"), ("en", "neutral"), ("zh", "entailment"), ("zh", "neutral")]
    rows = [[language, label, *"1234", "前提", "假设", "5"] for language, label in spoken]
    for name in ("dev.tsv", "eval.tsv"):
        write_tsv(data(root, "xnli", name), [names, *rows])
    assert finetune(root, {**TINY, "task_names": ["xnli"], "weight_decay_rate": 0.1}) == 0
    run = root / "models" / "m" / "finetuning_models" / "xnli_model_1"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["splits"]["dev"]["examples"] == metrics["splits"]["test"]["examples"] == 3
    assert metrics["changed"]["weight_decay"] == 0.1
    lines = (run / "predictions-dev.jsonl").read_text().splitlines()
    gold = [json.loads(line)["gold"] for line in lines]
    assert gold == ["contradiction", "entailment", "neutral"]


def test_mistakes_are_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def says(hparams: dict[str, Any], *words: str, model: str = "m") -> str:
        given = {**TINY, "task_names": ["bqcorpus"], **hparams}
        assert finetune(root, given, *words, model=model) == 2
        return capsys.readouterr().err

    assert "no train.tsv, dev.tsv; expected train.tsv, dev.tsv of bqcorpus there" in says({})
    write_tsv(root / "models" / "bqcorpus" / "train.tsv", pairs())
    message = says({})
    assert f"train.tsv lie in {root / 'models' / 'bqcorpus'}, as upstream's README says" in message
    write_tsv(data(root, "bqcorpus", "train.tsv"), pairs())
    assert 'or set "do_eval": false' in says({})
    write_tsv(data(root, "bqcorpus", "dev.tsv"), pairs())
    assert "no eval.tsv; expected" in says({"do_test": True})
    assert "no finished run" in says({"do_train": False})
    assert "upstream trains several tasks jointly" in says({"task_names": ["xnli", "drcd"]})
    assert "task_names: no 'bqcorpu' here; did you mean 'bqcorpus'?" in says(
        {"task_names": ["bqcorpu"]}
    )
    assert "vocab_size: got 30,522" in says({"vocab_size": 30522})
    message = says({"model_size": "base", "model_hparam_overrides": {}, "embedding_size": None})
    assert "hidden_size is 32, not 768; num_hidden_layers is 2, not 12" in message
    assert "embedding_size is 16, not 768" in message
    wrong = {**TINY["model_hparam_overrides"], "hiden_size": 3}
    message = says({"model_hparam_overrides": wrong})
    assert "unknown key 'hiden_size'; did you mean 'hidden_size'?" in message
    assert "max_seq_length: got 128; the model" in says({"max_seq_length": 128})
    assert "--seed: got 3; with --data-dir it follows" in says({}, "--seed", "3")
    assert "MODEL: got x; with --data-dir it follows" in says({}, "x")
    assert "no such model folder" in says({}, model="other")
    released = root / "models" / "released"
    released.mkdir()
    for name in ("checkpoint", "electra_small.index", "electra_small.meta", "vocab.txt"):
        (released / name).touch()
    message = says({}, model="released")
    assert (
        "a TensorFlow checkpoint (checkpoint, electra_small.index, electra_small.meta)" in message
    )
    assert "needs conversion to PyTorch first" in message
    theirs = root / "models" / "m" / "finetuning_models" / "bqcorpus_model_1"
    theirs.mkdir(parents=True)
    (theirs / "checkpoint").touch()
    assert "holds files that hanmo did not make" in says({})


def test_the_three_flags_belong_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "--hparams", "{}"]) == 2
    assert "belong together (docs/electra.md); missing: --data-dir" in capsys.readouterr().err
    assert main(["finetune", "--data-dir", "d"]) == 2
    assert "missing: --model-name" in capsys.readouterr().err
    assert main(["finetune", "--seed", "2"]) == 2
    assert "finetune: MODEL, --task, --out missing" in capsys.readouterr().err
