"""Chinese-ELECTRA's data directory: where model, data and results lie, and how its tasks look.

In: a directory D, a model's name M and the settings. Out: `Places`, and one `Planned` run a trial,
with a task whose splits and columns are upstream's (facts/04 "run_finetuning.py", "Six tasks";
ymcui/Chinese-ELECTRA run_finetuning.py, finetune/classification/classification_tasks.py):

    D/models/M/                            config.json, weights, vocab.txt
    D/vocab.txt                            where the model has no vocabulary
    D/finetuning_data/TASK/                train, dev and eval (the test split), .tsv or .json
    D/models/M/finetuning_models/          TASK_model_1 …: runs
    D/models/M/results/                    TASK_results.txt and .pkl, TASK_qa/TASK_dev_preds.json

    plan(places, hparams, given)           # [Planned(…), …]
"""

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hanmo.commands._electra_hparams import Hparams
from hanmo.core.artifact import is_ours
from hanmo.core.conform import conform
from hanmo.core.errors import UserError, nearest
from hanmo.core.files import read_lines
from hanmo.core.log import say
from hanmo.model.config import EncoderConfig, read_config
from hanmo.tasks.suite import TASKS
from hanmo.tasks.task import LABEL, Layout, Settings, Task
from hanmo.text.vocab import VOCAB_FILE, read_vocab, vocab_file

_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TENSORFLOW = ("checkpoint", "*.index", "*.meta", "*.data-*")
# hanmo's name of a split → upstream's.
FILES = {"train": "train", "dev": "dev", "test": "eval"}
# Upstream's name of a task → hanmo's entry, and the columns of its TSV: text_a, text_b, label. A
# task without columns is SQuAD's JSON.
_ENTRIES = {
    "cmrc2018": "cmrc2018",
    "drcd": "drcd",
    "xnli": "xnli",
    "chnsenticorp": "chnsenticorp",
    "lcqmc": "lcqmc",
    "bqcorpus": "bq",
}
_PAIR = {split: {"text_a": 0, "text_b": 1, LABEL: 2} for split in FILES}
_XNLI = {"text_a": 6, "text_b": 7, LABEL: 1}
_COLUMNS: Mapping[str, Mapping[str, Mapping[str, int]]] = {
    "xnli": {**_PAIR, "dev": _XNLI, "test": _XNLI},
    "chnsenticorp": {split: {"text_a": 1, LABEL: 0} for split in FILES},
    "lcqmc": _PAIR,
    "bqcorpus": _PAIR,
}
_OPTIONS = {"max_query_length": 64, "doc_stride": 128, "max_answer_length": 30}
# util/training_utils.py: the rest of a shape follows from its width.
_SIZES = {"small": (256, 12), "base": (768, 12), "large": (1024, 24)}
_OVERRIDES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act"),
    *("intermediate_size", "hidden_dropout_prob", "attention_probs_dropout_prob"),
    *("max_position_embeddings", "type_vocab_size", "initializer_range"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """Where things lie below `data_dir` for a model and a task."""

    data_dir: Path
    model_name: str
    task: str

    @property
    def model(self) -> Path:
        """Folder of the pre-trained model, and of all that is made of it."""
        return self.data_dir / "models" / self.model_name

    @property
    def data(self) -> Path:
        """Folder of the task's files."""
        return self.data_dir / "finetuning_data" / self.task

    def run(self, trial: int) -> Path:
        """Folder of a trial's run."""
        return self.model / "finetuning_models" / f"{self.task}_model_{trial}"

    def results(self, suffix: str) -> Path:
        """File of the scores of all trials: "txt" or "pkl"."""
        return self.model / "results" / f"{self.task}_results.{suffix}"

    def answers(self, split: str, trial: int | None = None) -> Path:
        """File of the answers on a split, of the last trial or of a numbered one."""
        number = "" if trial is None else f"_{trial}"
        name = f"{self.task}_{FILES[split]}{number}_preds.json"
        return self.model / "results" / f"{self.task}_qa" / name


@dataclasses.dataclass(frozen=True, slots=True)
class Planned:
    """One run.

    Attributes:
        task: with upstream's files, columns and settings.
        files: split → file.
        model: folder of the pre-trained model.
        vocab: its vocabulary.
        out: folder to make.
        trial: number from 1, which is the seed.
        set: options of the kind that are not the usual ones, as doc_stride=64.
        keeps: whether the fine-tuned model is kept.
    """

    task: Task
    files: Mapping[str, Path]
    model: Path
    vocab: Path
    out: Path
    trial: int
    set: list[str] | None
    keeps: bool


def task_name(hparams: Hparams) -> str:
    """Return the one task that is asked for.

    Raises:
        UserError: none or several, or one that hanmo does not have.
    """
    names = hparams.task_names
    if len(names) != 1:
        raise UserError(
            f"task_names: got {names}; expected one: upstream trains several tasks jointly, with "
            "one encoder, and hanmo does not; for each by itself give a call of its own"
        )
    if names[0] not in _ENTRIES:
        default = " (the settings name none: upstream's default)" if names == ["chunk"] else ""
        raise UserError(f"task_names: no {names[0]!r} here{nearest(names[0], _ENTRIES)}{default}")
    return names[0]


def plan(places: Places, hparams: Hparams, given: Mapping[str, Any]) -> list[Planned]:
    """Return the runs of all trials; everything that can be checked before them is.

    Args:
        places: where things lie.
        hparams: all settings.
        given: those that the user gave.

    Raises:
        UserError: no model, one of another shape, or no data.
    """
    vocab = _checked_model(places, hparams, given)
    files = _files(places, hparams, given)
    task = _task(places.task, files, hparams)
    changed = [
        f"{name}={getattr(hparams, name)}"
        for name, usual in _OPTIONS.items()
        if places.task not in _COLUMNS and getattr(hparams, name) != usual
    ]
    planned = []
    for trial in range(1, hparams.num_trials + 1):
        out = places.run(trial)
        if out.is_dir() and any(out.iterdir()) and not is_ours(out):
            raise UserError(
                f"{out}: holds files that hanmo did not make, such as an earlier TensorFlow run; "
                "move the folder away"
            )
        keeps = hparams.keep_all_models or trial == hparams.num_trials
        planned.append(
            Planned(task, files, places.model, vocab, out, trial, changed or None, keeps)
        )
    return planned


def _task(name: str, files: Mapping[str, Path], hparams: Hparams) -> Task:
    entry = TASKS[_ENTRIES[name]]
    splits = {split: (path.name,) for split, path in files.items()}
    batch = hparams.train_batch_size
    settings = Settings(
        max_length=hparams.max_seq_length,
        batch_size=batch,
        learning_rate=hparams.learning_rate,
        epochs=int(hparams.num_train_epochs),
        warmup_rate=hparams.warmup_proportion,
        layer_decay=hparams.layerwise_lr_decay if hparams.layerwise_lr_decay > 0 else 1.0,
        schedule="electra",
        # Upstream's loss is the sum over a batch, so that its norm of 1 is a share of ours.
        clip_norm=1 / batch,
        weight_decay=hparams.weight_decay_rate,
        source="Chinese-ELECTRA configure_finetuning.py, and --hparams",
    )
    if name not in _COLUMNS:
        # Upstream leaves out questions whose answer it does not find.
        options = {**entry.options, "unlocated": "skip"}
        return dataclasses.replace(entry, splits=splits, options=options, settings=settings)
    layouts = {
        path.name: _layout(path, entry, _COLUMNS[name][split]) for split, path in files.items()
    }
    return dataclasses.replace(entry, splits=splits, layouts=layouts, settings=settings)


def _layout(path: Path, entry: Task, columns: Mapping[str, int]) -> Layout:
    """Say how a TSV looks: its first line is passed over as upstream does, unless it is data."""
    first = next((line for _, line in read_lines(path)), "").split("\t")
    label = first[columns[LABEL]] if columns[LABEL] < len(first) else ""
    header: Literal["no", "yes"] = "yes"
    if entry.renamed_labels.get(label, label) in entry.labels:
        header = "no"
        say(
            f"{path}: the first line has the label {label!r}, so it is data and is read; upstream "
            "skips it"
        )
    keep = {}
    if "language" in first:
        keep = {"language": "zh"}
        say(f"{path}: has a column of languages; rows in zh are read, upstream takes all")
    return Layout(columns=columns, reader="tsv", header=header, keep=keep)


def _files(places: Places, hparams: Hparams, given: Mapping[str, Any]) -> dict[str, Path]:
    """Return the files of the training split and of those that are to be scored."""
    suffix = "tsv" if places.task in _COLUMNS else "json"
    wanted = ["train", *(["dev"] * hparams.do_eval), *(["test"] * hparams.do_test)]
    files = {split: places.data / f"{FILES[split]}.{suffix}" for split in wanted}
    missing = [split for split, path in files.items() if not path.is_file()]
    if "test" in missing and "do_test" not in given:
        # Upstream trains, scores dev and then fails; its README does not ask for the file.
        say(f"{files.pop('test')}: no such file; the test split is left out")
        missing.remove("test")
    if missing:
        names = [files[split].name for split in missing]
        switches = {"dev": '"do_eval": false', "test": '"do_test": false'}
        hints = [f"or set {switches[split]}" for split in missing if split in switches]
        raise UserError(
            f"{places.data}: no {', '.join(names)}{_elsewhere(places, names)}; expected "
            f"{', '.join(path.name for path in files.values())} of {places.task} there"
            + (f", {' and '.join(hints)}" if hints and "train" not in missing else "")
        )
    return files


def _elsewhere(places: Places, names: list[str]) -> str:
    """Say whether the files are where upstream's README, unlike its code, wants them."""
    folder = places.data_dir / "models" / places.task
    there = [name for name in names if (folder / name).is_file()]
    if not there:
        return ""
    return (
        f" ({', '.join(there)} lie in {folder}, as upstream's README says; its code and hanmo read "
        f"{places.data}: move them there)"
    )


def _checked_model(places: Places, hparams: Hparams, given: Mapping[str, Any]) -> Path:
    """Return the model's vocabulary; the model is there and of the shape that is stated."""
    folder = places.model
    if not folder.is_dir():
        models = places.data_dir / "models"
        there = sorted(path.name for path in models.iterdir()) if models.is_dir() else []
        raise UserError(
            f"{folder}: no such model folder (in {models}: {', '.join(there) or 'nothing'}); "
            "expected --data-dir/models/--model-name"
        )
    weights = [name for name in _WEIGHTS if (folder / name).is_file()]
    if not weights or not (folder / _CONFIG).is_file():
        raise UserError(_no_model(folder, weights))
    shape = read_config(folder / _CONFIG)
    vocab = vocab_file(folder)
    if not vocab.is_file():
        vocab = places.data_dir / VOCAB_FILE
    if not vocab.is_file():
        raise UserError(f"{folder}: no {VOCAB_FILE}, nor {vocab}; expected one of them")
    pieces = len(read_vocab(vocab))
    if "vocab_size" in given and hparams.vocab_size not in (pieces, shape.vocab_size):
        raise UserError(f"vocab_size: got {hparams.vocab_size:,}; {vocab} has {pieces:,} pieces")
    _check_shape(folder / _CONFIG, shape, hparams)
    if hparams.max_seq_length > shape.max_position_embeddings:
        raise UserError(
            f"max_seq_length: got {hparams.max_seq_length}; the model {folder} takes up to "
            f"{shape.max_position_embeddings}"
        )
    return vocab


def _no_model(folder: Path, weights: list[str]) -> str:
    found = sorted({path.name for name in _TENSORFLOW for path in folder.glob(name)})
    lacks = [] if (folder / _CONFIG).is_file() else [_CONFIG]
    lacks += [] if weights else [" or ".join(_WEIGHTS)]
    if found:
        return (
            f"{folder}: a TensorFlow checkpoint ({', '.join(found)}); it needs conversion to "
            f"PyTorch first: put {' and '.join(lacks)} beside it, made by a converter for ELECTRA "
            "or taken from the published PyTorch weights"
        )
    return f"{folder}: lacks {' and '.join(lacks)}; expected a model folder of PyTorch weights"


def _check_shape(path: Path, shape: EncoderConfig, hparams: Hparams) -> None:
    given, hints = {}, typing.get_type_hints(EncoderConfig)
    for key, value in hparams.model_hparam_overrides.items():
        if key not in _OVERRIDES:
            raise UserError(
                f"model_hparam_overrides: unknown key {key!r}{nearest(key, _OVERRIDES)}"
            )
        try:
            given[key] = conform(value, hints[key])
        except TypeError as error:
            raise UserError(f"model_hparam_overrides.{key}: got {value!r}; {error}") from None
    width, layers = _SIZES[hparams.model_size]
    width = given.get("hidden_size", width)
    wanted: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, width // 64),
        "intermediate_size": 4 * width,
        **given,
        "embedding_width": hparams.embedding_size or width,
    }
    wrong = [
        f"{name.replace('width', 'size')} is {getattr(shape, name)}, not {value!r}"
        for name, value in wanted.items()
        if getattr(shape, name) != value
    ]
    if wrong:
        raise UserError(
            f"{path}: {'; '.join(wrong)}, as model_size {hparams.model_size!r}, "
            "model_hparam_overrides and embedding_size say; correct these to the model's"
        )
