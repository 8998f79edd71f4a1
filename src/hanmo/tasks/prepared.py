"""A task made ready for a model: its splits read, its labels known, its examples as pieces.

In: a task, its files and a model folder. Out: `Prepared`. Nothing is trained here.

    prepared = prepare(task, locate(task, data), Path("work/lert"))
    prepared.features["train"][0].sequences[0].inputs["input_ids"]
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.core.log import Progress
from hanmo.core.seeds import generator
from hanmo.model.checkpoint import CONFIG
from hanmo.model.config import read_config
from hanmo.tasks import cache
from hanmo.tasks.kind import Features, Kind, load_kind
from hanmo.tasks.splits import Split, read_split, with_labels
from hanmo.tasks.task import Example, Task
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import VOCAB_FILE


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """What training needs: the task with its labels, its splits as pieces, the tokenizer.

    `also_in_train` is split → examples whose texts are in the training split too.
    """

    task: Task
    kind: Kind
    tokenizer: Tokenizer
    splits: Mapping[str, Split]
    features: Mapping[str, list[Features]]
    also_in_train: Mapping[str, int]


def prepare(
    task: Task,
    files: Mapping[str, Path],
    model: Path,
    *,
    vocab: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    cached: bool = True,
) -> Prepared:
    """Read and encode the splits.

    Args:
        task: with the settings to use.
        files: split → file; "train" is among them.
        model: folder whose vocabulary and longest sequence count.
        vocab: vocabulary that lies elsewhere.
        limit: number of training examples to use, drawn by the seed; default: all.
        seed: of that draw.
        cached: look for encoded examples in the cache, and keep them there.

    Raises:
        UserError: bad data, or a model that does not fit the vocabulary or the length.
    """
    tokenizer = _tokenizer(task, model, vocab or model)
    kind = load_kind(task.kind, task.options)
    splits = {"train": read_split(task, "train", files["train"])}
    task = with_labels(task, splits["train"])
    # Whose labels a split may have is known only now, where the task did not state them.
    splits |= {name: read_split(task, name, files[name]) for name in files if name != "train"}
    features = {
        name: _encoded(task, kind, tokenizer, split, cached=cached)
        for name, split in splits.items()
    }
    kept = _drawn(len(splits["train"].examples), limit, seed=seed)
    if kept is not None:
        examples = splits["train"].examples
        splits["train"] = dataclasses.replace(
            splits["train"], examples=tuple(examples[i] for i in kept)
        )
        features["train"] = [features["train"][i] for i in kept]
    return Prepared(task, kind, tokenizer, splits, features, _also_in_train(splits, kind))


def _encoded(
    task: Task, kind: Kind, tokenizer: Tokenizer, split: Split, *, cached: bool
) -> list[Features]:
    key = cache.key_of(task, tokenizer, split.path, kind) if cached else ""
    found = cache.load(key, split.examples) if cached else None
    if found is not None:
        return found
    features = []
    with Progress(f"{task.name} {split.name}: encoding", len(split.examples), "examples") as bar:
        for example in split.examples:
            features.append(kind.encode(example, task, tokenizer))
            bar.advance(1)
    return cache.store(key, features) if cached else features


def _drawn(n: int, limit: int | None, *, seed: int) -> list[int] | None:
    """Choose `limit` of `n` examples, in the order of the file; None for all."""
    if limit is None or limit >= n:
        return None
    return sorted(generator(seed, "limit").permutation(n)[:limit].tolist())


def describe(prepared: Prepared, name: str) -> str:
    """Say in a line how many examples a split has and what was left out or cut."""
    task, split = prepared.task, prepared.splits[name]
    left_out = ", ".join(f"{n} {reason}" for reason, n in split.skipped.items()) or "none"
    if n := prepared.also_in_train.get(name, 0):
        left_out += f"; {n:,} are in the training split too"
    mended = "".join(f"; {n:,} {what}" for what, n in split.noted.items())
    cut = sum(one.truncated for one in prepared.features[name])
    return (
        f"{task.name} {name}: {len(split.examples):,} examples"
        f"{'' if split.labelled else ' without labels'} (rows left out: {left_out}{mended}; "
        f"{cut:,} cut at {task.settings.max_length} pieces{_windows(prepared.features[name])})"
    )


def _also_in_train(splits: Mapping[str, Split], kind: Kind) -> dict[str, int]:
    """Count the examples of a split whose texts are, word for word, in the training split too.

    ChnSentiCorp has 338 such in dev, TNEWS 1,099 (data as published): scores flatter.
    """
    fields = (*kind.fields, *kind.optional_fields)

    def texts(example: Example) -> str:
        return repr([example.fields.get(field) for field in fields])

    seen = {texts(example) for example in splits["train"].examples}
    return {
        name: sum(texts(example) in seen for example in split.examples)
        for name, split in splits.items()
        if name != "train"
    }


def _windows(features: Sequence[Features]) -> str:
    n = sum(len(one.sequences) for one in features)
    return f"; {n:,} windows" if n != len(features) else ""


def _tokenizer(task: Task, model: Path, vocab: Path) -> Tokenizer:
    shape = read_config(model / CONFIG)
    tokenizer = Tokenizer.load(vocab)
    if tokenizer.size > shape.vocab_size:
        raise UserError(
            f"{vocab}: {VOCAB_FILE if vocab.is_dir() else 'it'} has {tokenizer.size:,} pieces, "
            f"config.json says {shape.vocab_size:,}; the files are of different models"
        )
    if task.settings.max_length > shape.max_position_embeddings:
        raise UserError(
            f"max_length: got {task.settings.max_length}; the model {model} takes up to "
            f"{shape.max_position_embeddings}"
        )
    return tokenizer
