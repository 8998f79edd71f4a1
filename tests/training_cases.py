"""What the tests of training share: a small vocabulary, labelled shards, tiny shapes, runs."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from hanmo.annotate.sentence import Sentence
from hanmo.annotate.store import write_part
from hanmo.annotate.tagsets import TAGSETS
from hanmo.commands import encode, pretrain
from hanmo.core.artifact import building
from hanmo.data.batches import collate
from hanmo.data.draws import Draws
from hanmo.data.ragged import Array, Sequences, join
from hanmo.model.checkpoint import save_model
from hanmo.model.config import EncoderConfig, hugging_face_config
from hanmo.model.encoder import initialise
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.trainable import Batch
from hanmo.objectives._objective import Objective, Vocabulary, with_resources
from hanmo.text.tokenizer import Tokenizer

CHARACTERS = [chr(0x4E00 + i) for i in range(150)]
VOCAB = ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS, "[unused2]"]
TINY = EncoderConfig(
    vocab_size=len(VOCAB),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=64,
)
TINY_ELECTRA = dataclasses.replace(
    TINY, hidden_size=32, num_attention_heads=2, embedding_size=16, model_type="electra"
)
TINY_ALBERT = dataclasses.replace(TINY, embedding_size=8, model_type="albert")
TINY_DISTILBERT = dataclasses.replace(TINY, type_vocab_size=0, model_type="distilbert")
SPEEDS = ("pieces_per_second", "seconds", "waited")


def tokenizer() -> Tokenizer:
    return Tokenizer(VOCAB)


def vocabulary() -> Vocabulary:
    return Vocabulary.of(tokenizer())


def random_sequence(
    rng: np.random.Generator, words: Sequence[int], *, missing: float = 0.2
) -> Sequences:
    """[CLS], words of the given lengths in random characters with random labels, [SEP]."""
    made, n = tokenizer(), sum(words)
    ids = np.concatenate([[made.cls_id], rng.choice(made.random_ids, n), [made.sep_id]])
    starts = np.zeros(n + 2, dtype=np.bool_)
    starts[[0, n + 1]] = True
    starts[1 + np.cumsum([0, *words])[:-1]] = True
    maskable = np.ones(n + 2, dtype=np.bool_)
    maskable[[0, -1]] = False
    layers = {}
    for name, tags in TAGSETS.items():
        of_word = rng.integers(0, len(tags), len(words))
        of_word[rng.random(len(words)) < missing] = -1
        inner = np.repeat(of_word, words)
        layers[name] = np.concatenate([[-1], inner, [-1]]).astype(np.int8)
    types = np.zeros(n + 2, dtype=np.int8)
    return Sequences(ids.astype(np.int32), starts, maskable, types, layers)


def options_of(objective: str, folder: Path) -> dict[str, Any]:
    """Options that an objective cannot do without."""
    if objective == "distill":
        return {"teacher": (make_teacher(folder / "teacher"),), "temperature": 1.0}
    if objective != "mac":
        return {}
    path = folder / "synonyms.txt"
    if not path.exists():
        groups = [CHARACTERS[i : i + 5] for i in range(0, 100, 5)]
        groups += [[a + b for b in CHARACTERS[:90]] for a in CHARACTERS[:40]]
        lines = [f"Aa01A{i:02d}= {' '.join(group)}" for i, group in enumerate(groups)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"synonyms": str(path)}


def make_teacher(
    folder: Path, config: EncoderConfig = TINY, *, seed: int = 9, vocab: Sequence[str] = VOCAB
) -> Path:
    """A masked LM that is sure of its answers, with a head that looks trained."""
    if not (folder / "config.json").exists():
        model = MaskedLm(dataclasses.replace(config, vocab_size=len(vocab)))
        generator = torch.Generator().manual_seed(seed)
        initialise(model, 0.3, generator)
        with torch.no_grad():
            model.cls.predictions.bias.normal_(std=6.0, generator=generator)
        save_model(folder, model, tokenizer=Tokenizer(vocab))
    return folder


def shape_for(objective: str) -> EncoderConfig:
    """A tiny shape of the family that an objective needs."""
    return TINY_ELECTRA if objective == "electra" else TINY


def vocabulary_for(objective: Objective) -> Vocabulary:
    """The vocabulary with what the objective reads beside it."""
    return with_resources(objective, vocabulary())


def join_sequences(parts: Sequence[Sequences]) -> Sequences:
    """Sequences one after the other."""
    return Sequences(
        np.concatenate([part.input_ids for part in parts]),
        np.concatenate([part.word_starts for part in parts]),
        np.concatenate([part.maskable for part in parts]),
        np.concatenate([part.token_type_ids for part in parts]),
        {name: np.concatenate([part.layers[name] for part in parts]) for name in parts[0].layers},
        np.cumsum([0, *(n for part in parts for n in part.lengths)]),
    )


def random_arrays(
    objective: Objective, *, seed: int = 0, n: int = 6, pack: bool = True
) -> dict[str, Array]:
    """The arrays of `n` corrupted random sequences."""
    samples = []
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        sequence = random_sequence(rng, rng.integers(1, 4, int(rng.integers(4, 12))).tolist())
        draws = Draws.of(seed * 1000 + number, sequence.offsets)
        samples.append(objective.corrupt(sequence, draws, vocabulary_for(objective)))
    return collate(join(samples), max_length=64, pad_id=0, pack=pack)


def random_batch(objective: Objective, *, seed: int = 0, n: int = 6, pack: bool = True) -> Batch:
    """A batch of `n` corrupted random sequences."""
    return Batch.from_arrays(random_arrays(objective, seed=seed, n=n, pack=pack))


def random_sentence(rng: np.random.Generator, layers: Sequence[str]) -> Sentence:
    """Words of 1 to 3 characters; a label follows from the word, and one in ten is missing."""
    text, words = "", []
    numbers: list[int] = []
    for _ in range(int(rng.integers(2, 9))):
        word = rng.choice(CHARACTERS, int(rng.integers(1, 4)))
        words.append((len(text), len(text) + len(word)))
        numbers.append(ord(word[0]))
        text += "".join(word)
    labels = {
        name: tuple(
            None if rng.random() < 0.1 else TAGSETS[name][number % len(TAGSETS[name])]
            for number in numbers
        )
        for name in layers
    }
    return Sentence(text, tuple(words), labels)


def make_shards(
    folder: Path, *, layers: Sequence[str] = tuple(TAGSETS), n_documents: int = 24, seed: int = 5
) -> Path:
    """Write random annotated sentences and encode them; returns the shards folder."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (f"d{number}", random_sentence(rng, layers))
        for number in range(n_documents)
        for _ in range(int(rng.integers(1, 5)))
    ]
    with building(folder / "sentences", kind="sentences", config={}) as build:
        write_part(build.dir / "part-00000.parquet", rows)
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    encode.run(encode.Config(folder / "sentences", folder / "vocab.txt", folder / "shards"))
    return folder / "shards"


def write_shape(path: Path, config: EncoderConfig = TINY) -> Path:
    """Write a config.json for `--size`."""
    path.write_text(json.dumps(hugging_face_config(config, "BertForMaskedLM")), encoding="utf-8")
    return path


def settings_of(shards: Path, out: Path, **changed: Any) -> dict[str, Any]:
    """Settings of a short run of two and a half epochs, dropout on."""
    shape = shape_for(str(changed.get("objective", "mlm")))
    size = shards.parent / f"tiny-{shape.model_type}.json"
    if not size.exists():
        write_shape(size, shape)
    settings: dict[str, Any] = {
        "shards": shards,
        "out": out,
        "steps": 12,
        "size": str(size),
        "objective": "mlm",
        "batch_size": 8,
        "max_length": 32,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "threads": 1,
        "save_every": 4,
        "log_every": 2,
    }
    if "phases" in changed:  # which state lengths and batches themselves
        del settings["batch_size"], settings["max_length"]
    return settings | changed


def run_pretrain(shards: Path, out: Path, **changed: Any) -> dict[str, Any]:
    return pretrain.run(pretrain.Config(**settings_of(shards, out, **changed)))


def command_line(settings: Mapping[str, Any]) -> list[str]:
    """The same settings as words of `hanmo pretrain`."""
    words = ["pretrain", str(settings["shards"])]
    for name, value in settings.items():
        if name == "shards" or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        words += [] if value is True else [str(value)]
    return words


def tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder: weights, heads and moments."""
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= {f"{path.stem}: {name}": tensor for name, tensor in load_file(path).items()}
    return found


def log_lines(out: Path) -> list[dict[str, Any]]:
    """Lines of a run's log, without what depends on the clock."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in SPEEDS} for line in lines]


def assert_same_run(one: Path, two: Path, steps: int = 12) -> None:
    """Bit for bit: the last checkpoint's weights and moments, the finished model, the log."""
    last = f"step-{steps:09d}"
    for first, second in ((one / last, two / last), (one, two)):
        expected, got = tensors(first), tensors(second)
        assert expected.keys() == got.keys()
        different = [name for name in expected if not torch.equal(expected[name], got[name])]
        assert not different
    assert any("optimizer: " in name for name in tensors(one / last)), "moments were compared"
    assert log_lines(one) == log_lines(two)
