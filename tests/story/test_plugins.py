"""Files outside the package become an annotator, an objective and a task, from text to a score."""

import json
from pathlib import Path

import numpy as np
import pytest

from hanmo.cli import main
from hanmo.core.artifact import read_manifest
from hanmo.model import checkpoint
from training_cases import CHARACTERS, TINY, write_shape

ANNOTATOR = '''
"""Words of a fixed width, all of one part of speech."""

import dataclasses
from collections.abc import Sequence

from hanmo.annotate.sentence import Sentence


@dataclasses.dataclass(frozen=True)
class Annotator:
    """Fixed widths.

    Attributes:
        width: Characters a word.
    """

    width: int = 1

    @property
    def layers(self) -> tuple[str, ...]:
        return ("pos",)

    def annotate(self, texts: Sequence[str]) -> list[Sentence]:
        made = []
        for text in texts:
            starts = range(0, len(text), self.width)
            words = tuple((start, min(start + self.width, len(text))) for start in starts)
            made.append(Sentence(text, words, {"pos": ("n",) * len(words)}))
        return made
'''

OBJECTIVE = '''
"""Restore words whose pieces were turned round."""

import dataclasses

import numpy as np

from hanmo.data.ragged import Corrupted
from hanmo.objectives._objective import each


@dataclasses.dataclass(frozen=True)
class Objective:
    """Turned words.

    Attributes:
        rate: Share of words that are turned.
    """

    rate: float = 0.15

    @property
    def layers(self):
        return ("pos",)

    def corrupt(self, sequences, draws, vocabulary):
        return each(self.turn, sequences, draws)

    def turn(self, sequence, rng):
        ids = sequence.input_ids.copy()
        starts = np.flatnonzero(sequence.word_starts)
        chosen = []
        for start, stop in zip(starts, [*starts[1:], len(ids)], strict=True):
            if sequence.maskable[start] and rng.random() < self.rate:
                ids[start:stop] = ids[start:stop][::-1].copy()
                chosen += range(start, stop)
        positions = np.array(chosen, dtype=np.int64)
        return Corrupted({"input_ids": ids}, positions, {"pieces": sequence.input_ids[positions]})

    def build(self, config, layers):
        from hanmo.model.masked_lm import MaskedLm

        assert layers.keys() == {"pos"}
        return MaskedLm(config)
'''

TASK = """
name = "halves"
labels = ["low", "high"]
[splits]
train = "train.tsv"
dev = "dev.tsv"
[columns]
label = "label"
text_a = "text"
[settings]
max_length = 32
batch_size = 8
learning_rate = 3e-3
epochs = 1
"""


def sentence(rng: np.random.Generator, characters: list[str], n: int) -> str:
    return "".join(rng.choice(characters, n)) + "。"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, a vocabulary, a shape, the three plug-ins and the task's data."""
    made = tmp_path_factory.mktemp("plugins")
    rng = np.random.default_rng(4)
    documents = ["".join(sentence(rng, CHARACTERS, 12) for _ in range(4)) for _ in range(30)]
    (made / "text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "。", *CHARACTERS]
    (made / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    write_shape(made / "tiny.json", TINY)
    (made / "widths.py").write_text(ANNOTATOR)
    (made / "turned.py").write_text(OBJECTIVE)
    (made / "halves.toml").write_text(TASK)
    halves = {"low": CHARACTERS[:75], "high": CHARACTERS[75:]}
    for split, n in (("train", 48), ("dev", 16)):
        rows = [f"{k}\t{sentence(rng, halves[k], 8)}" for k in list(halves) * (n // 2)]
        (made / f"{split}.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n")
    return made


def hanmo(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    """The road up to a pre-trained model, with an annotator and an objective of one's own."""
    hanmo("prepare", folder / "text.txt", "--out", folder / "corpus")
    hanmo(
        *("annotate", folder / "corpus", "--out", folder / "sentences"),
        *("--annotator", folder / "widths.py", "--widths.width", 3),
    )
    hanmo(
        *("encode", folder / "sentences", "--vocab", folder / "vocab.txt"),
        *("--out", folder / "shards"),
    )
    hanmo(
        *("pretrain", folder / "shards", "--out", folder / "model", "--size", folder / "tiny.json"),
        *("--objective", folder / "turned.py", "--turned.rate", 0.5, "--workers", 1),
        *("--steps", 6, "--batch-size", 4, "--max-length", 32, "--threads", 1, "--log-every", 1),
    )
    return folder / "model"


def test_an_annotator_from_a_file(folder: Path, model: Path) -> None:
    manifest = read_manifest(folder / "sentences", "sentences")
    assert manifest.counts["sentences"] == 120
    assert manifest.counts["words"] == 120 * 5, "13 characters are 5 words of 3"
    assert manifest.config["options"] == {"width": 3}
    assert read_manifest(folder / "shards", "shards").counts["labels_pos"] == 600


def test_an_objective_from_a_file_in_a_worker(folder: Path, model: Path) -> None:
    assert read_manifest(model, "checkpoint").config["turned"]["rate"] == 0.5
    lines = [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line["loss"] > 0 for line in lines)
    assert checkpoint.load_masked_lm(model).encoder.config.num_hidden_layers == 2


def test_a_task_from_a_file(folder: Path, model: Path) -> None:
    hanmo(
        *("finetune", model, "--task", folder / "halves.toml", "--out", folder / "run"),
        *("--threads", 1, "--precision", "fp32", "--epochs", 4),
    )
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert metrics["splits"]["dev"]["scores"]["accuracy"] > 0.9, "it learns an easy task"
    assert len((folder / "run" / "predictions-dev.jsonl").read_text().splitlines()) == 16


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objective", "absent.py"], "absent.py: no such plug-in file"),
        (["--objective", "turned.py", "--turned.rat", "0.5"], "--turned.rat"),
        (["--objective", "widths.py"], "has no 'Objective'"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str],
    message: str,
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    line = ["pretrain", "shards", "--out", "never", "--steps", "1", "--size", "tiny"]
    assert main([*line, *words]) == 2
    errors = capfd.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("never").exists()
