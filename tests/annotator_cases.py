"""Models for the annotators that need one: tiny, made in the test, in LTP's own folder formats."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hanmo.annotate.tagsets import TAGSETS

# Sample sentences: word, part of speech, entity.
SAMPLE = (
    "我们/r/O 昨天/nt/O 去/v/O 了/u/O 北京/ns/B-Ni 大学/n/E-Ni 。/wp/O",
    "他/r/O 说/v/O 走/v/O 吧/u/O ！/wp/O",
    "张三/nh/S-Nh 在/p/O 上海/ns/S-Ns 工作/v/O 。/wp/O",
    "老师/n/O 参观/v/O 了/u/O 学校/n/O 。/wp/O",
    "李四/nh/S-Nh 喜欢/v/O 北京/ns/S-Ns 。/wp/O",
)
CHARACTERS = "我们昨天去了北京大学他说走吧不能太长的句子张三在上海工作繁體中文也可以。，：！“”"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
ROOM = 512  # positions of the tiny encoder, as LTP's have


def needs(*modules: str) -> None:
    """Skip a test whose library is not installed."""
    for module in modules:
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            pytest.skip(f"{module} is not installed: pip install 'hanmo[ltp]'")


def options_of(name: str, folder: Path) -> dict[str, Any]:
    """Return the options that an annotator needs to work at all; makes its model in `folder`."""
    makers = {"ltp": neural_model, "ltp_legacy": legacy_model}
    if name not in makers:
        return {}
    made = folder / name
    if not made.exists():
        makers[name](made)
    return {"model": str(made)}


def neural_config(n_pieces: int, room: int, cws: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of a random model with all kinds of heads that LTP has."""
    size, core = 16, "ltp_core.models"
    token = f"{core}.components.token"
    heads = {
        "cws": {"_ltp_target_": f"{token}.MLPTokenClassifier", "num_labels": len(cws)},
        "pos": {"_ltp_target_": f"{token}.MLPTokenClassifier", "num_labels": 28},
        "ner": {
            "_ltp_target_": f"{token}.RelTransformerTokenClassifier",
            **{"num_labels": 13, "hidden_size": size, "num_heads": 2, "num_layers": 1},
            "use_crf": True,
        },
        "dep": {
            "_ltp_target_": f"{core}.components.graph.BiaffineClassifier",
            **{"num_labels": 14, "arc_hidden_size": 8, "rel_hidden_size": 8},
        },
    }
    processors = {
        "cws": "TokenOnly",
        "pos": "WordsOnly",
        "ner": "WordsOnly",
        "dep": "WordsWithHead",
    }
    backbone = {"model_type": "electra", "vocab_size": n_pieces, "max_position_embeddings": room}
    backbone |= dict.fromkeys(("embedding_size", "hidden_size", "intermediate_size"), size)
    backbone |= {"num_hidden_layers": 1, "num_attention_heads": 2, "initializer_range": 0.5}
    return {
        "nerual": True,
        "model": {
            "_ltp_target_": f"{core}.ltp_model.LTPModule",
            "backbone": {"_ltp_target_": f"{core}.utils.load_transformers", "config": backbone},
            "processor": {
                task: {"_ltp_target_": f"{core}.processor.{kind}"}
                for task, kind in processors.items()
            },
            "heads": {task: {**head, "input_size": size} for task, head in heads.items()},
        },
        "vocabs": {"cws": list(cws), **{layer: list(TAGSETS[layer]) for layer in TAGSETS}},
    }


def neural_model(folder: Path, room: int = ROOM, cws: Sequence[str] = ("I-W", "B-W")) -> Path:
    """Write a neural model with random weights."""
    needs("ltp")
    import torch
    from ltp import nerual

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(CHARACTERS), *LETTERS]
    pieces += [f"##{letter}" for letter in LETTERS]
    config = neural_config(len(pieces), room, cws)
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    (folder / "config.json").write_text(json.dumps(config))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nerual.LTP(config=config).model
        for head in model.task_heads.values():  # else one label wins everywhere
            for weight in head.parameters():
                torch.nn.init.normal_(weight)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def legacy_model(folder: Path) -> Path:
    """Write the three perceptrons, trained on the sample."""
    needs("ltp_extension")
    from ltp_extension import perceptron

    rows = [[word.split("/") for word in line.split()] for line in SAMPLE]
    tasks = {"cws": 1, "pos": 2, "ner": 3}  # columns that the trainer reads
    folder.mkdir(parents=True)
    for task, n_columns in tasks.items():
        lines = (" ".join("/".join(word[:n_columns]) for word in row) for row in rows)
        text = folder / f"{task}.txt"
        text.write_text("\n".join(lines) + "\n", encoding="utf-8")
        labels = sorted({word[n_columns - 1] for row in rows for word in row})
        made = getattr(perceptron, f"{task.upper()}Trainer")
        trainer = made() if task == "cws" else made(labels)
        trainer.epoch, trainer.eval_threads, trainer.shuffle = 20, 1, False
        trainer.algorithm = perceptron.Algorithm("AP", 1)
        trainer.load_train_data(str(text))
        trainer.load_eval_data(str(text))
        trainer.train().save(str(folder / f"{task}_model.bin"))
    config = {"nerual": False, "tasks": {task: f"{task}_model.bin" for task in tasks}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
