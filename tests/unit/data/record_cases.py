"""What the tests of records share: sentences with labels, and a reader of upstream's specification.

The reader knows of records what `tf.io.parse_single_example` is told by run_pretraining.py: names,
fixed lengths and types.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanmo.annotate.sentence import Sentence
from hanmo.annotate.store import write_part
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.artifact import building
from hanmo.data.example import read_example
from hanmo.data.tfrecord import read_records

CHARACTERS = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰馀成岁律吕调阳云腾致雨露结为霜"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARACTERS, *(f"##{c}" for c in CHARACTERS)]
LAYERS = ("pos", "ner", "dep")
MASK = 4


def write_vocabulary(path: Path) -> Path:
    path.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return path


def random_rows(seed: int, *, n_documents: int = 6) -> list[tuple[str, Sentence]]:
    """Documents of a few sentences; one word of thirty lacks its part of speech."""
    rng = np.random.default_rng(seed)
    rows = []
    for document in range(n_documents):
        for _ in range(rng.integers(2, 9)):
            lengths = rng.integers(1, 4, rng.integers(3, 12))
            text = "".join(rng.choice(list(CHARACTERS), lengths.sum()))
            ends = np.cumsum(lengths).tolist()
            layers: dict[str, Any] = {
                name: tuple(rng.choice(TAGSETS[name], len(ends)).tolist()) for name in LAYERS
            }
            layers["pos"] = tuple(
                None if lost else label
                for label, lost in zip(layers["pos"], rng.random(len(ends)) < 1 / 30, strict=True)
            )
            words = tuple(zip([0, *ends], ends, strict=False))
            rows.append((f"{seed}-{document}", Sentence(text, words, layers)))
    return rows


def write_sentences(folder: Path, *, n_parts: int = 3, n_documents: int = 6) -> Path:
    with building(folder, kind="sentences", config={}) as build:
        for number in range(n_parts):
            rows = random_rows(number, n_documents=n_documents)
            write_part(build.dir / f"part-{number:05d}.parquet", rows)
    return folder


def specification(name: str, length: int, most: int) -> dict[str, tuple[int, type[np.generic]]]:
    """Feature → its length and type, as the scripts' `name_to_features` has them."""
    inputs = dict.fromkeys(("input_ids", "input_mask", "segment_ids"), (length, np.int64))
    masks = dict.fromkeys(("masked_lm_positions", "masked_lm_ids"), (most, np.int64))
    weights = {"masked_lm_weights": (most, np.float32)}
    labels = dict.fromkeys([f"{layer}_labels" for layer in LAYERS], (most, np.int64))
    made: dict[str, dict[str, Any]] = {
        "bert": {**inputs, **masks, **weights, "next_sentence_labels": (1, np.int64)},
        "lert": {**inputs, **masks, **weights, **labels},
        "electra": inputs,
    }
    return made[name]


def record_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("pretrain_data.tfrecord-*"))


def decode(paths: list[Path], name: str, *, length: int, most: int) -> dict[str, NDArray[Any]]:
    """Read all records of some files, as upstream's specification says: feature → [records, n]."""
    wanted = specification(name, length, most)
    rows: list[dict[str, Any]] = [
        read_example(record.data) for path in paths for record in read_records(path)
    ]
    for row in rows:
        assert {key: (len(values), values.dtype.type) for key, values in row.items()} == wanted
    return {key: np.array([row[key] for row in rows]) for key in wanted}


def originals(columns: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Put the labels in at the masked places: int64 [records, length]."""
    ids = columns["input_ids"].copy()
    rows, slots = np.nonzero(columns["masked_lm_weights"])
    ids[rows, columns["masked_lm_positions"][rows, slots]] = columns["masked_lm_ids"][rows, slots]
    return ids
