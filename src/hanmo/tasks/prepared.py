"""A task made ready for a model: its splits read, its labels known, its examples as pieces.

In: a task, its files and a model folder. Out: `Prepared`. Nothing is trained here.

    prepared = prepare(task, locate(task, data), Path("work/lert"))
    prepared.features["train"][0].sequences[0].inputs["input_ids"]
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.core.seeds import generator
from hanmo.model.checkpoint import CONFIG
from hanmo.model.config import read_config
from hanmo.tasks.kind import Features, Kind, load_kind
from hanmo.tasks.splits import Split, read_split, with_labels
from hanmo.tasks.task import Task
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import VOCAB_FILE


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """What training needs: the task with its labels, its splits as pieces, the tokenizer."""

    task: Task
    kind: Kind
    tokenizer: Tokenizer
    splits: Mapping[str, Split]
    features: Mapping[str, list[Features]]


def prepare(
    task: Task, files: Mapping[str, Path], model: Path, *, limit: int | None = None, seed: int = 0
) -> Prepared:
    """Read and encode the splits.

    Args:
        task: with the settings to use.
        files: split → file; "train" is among them.
        model: folder whose vocabulary and longest sequence count.
        limit: number of training examples to use, drawn by the seed; default: all.
        seed: of that draw.

    Raises:
        UserError: bad data, or a model that does not fit the vocabulary or the length.
    """
    tokenizer = _tokenizer(task, model)
    kind = load_kind(task.kind)
    train = read_split(task, "train", files["train"])
    task = with_labels(task, train)
    splits = {"train": limited(train, limit, seed=seed)}
    splits |= {name: read_split(task, name, files[name]) for name in files if name != "train"}
    features = {
        name: [kind.encode(example, task, tokenizer) for example in split.examples]
        for name, split in splits.items()
    }
    return Prepared(task, kind, tokenizer, splits, features)


def limited(split: Split, limit: int | None, *, seed: int) -> Split:
    """Return the split with at most `limit` examples, in the order of the file."""
    if limit is None or limit >= len(split.examples):
        return split
    order = generator(seed, "limit").permutation(len(split.examples))
    kept = sorted(order[:limit].tolist())
    return dataclasses.replace(split, examples=tuple(split.examples[i] for i in kept))


def describe(prepared: Prepared, name: str) -> str:
    """Say in a line how many examples a split has and what was left out or cut."""
    task, split = prepared.task, prepared.splits[name]
    left_out = ", ".join(f"{n} {reason}" for reason, n in split.skipped.items()) or "none"
    cut = sum(one.truncated for one in prepared.features[name])
    return (
        f"{task.name} {name}: {len(split.examples):,} examples"
        f"{'' if split.labelled else ' without labels'} (rows left out: {left_out}; "
        f"{cut:,} cut at {task.settings.max_length} pieces)"
    )


def _tokenizer(task: Task, model: Path) -> Tokenizer:
    shape = read_config(model / CONFIG)
    tokenizer = Tokenizer.load(model)
    if tokenizer.size > shape.vocab_size:
        raise UserError(
            f"{model}: {VOCAB_FILE} has {tokenizer.size:,} pieces, config.json says "
            f"{shape.vocab_size:,}; the files are of different models"
        )
    if task.settings.max_length > shape.max_position_embeddings:
        raise UserError(
            f"max_length: got {task.settings.max_length}; the model {model} takes up to "
            f"{shape.max_position_embeddings}"
        )
    return tokenizer
