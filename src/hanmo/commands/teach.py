"""Store what a teacher says of a corpus, so that students learn without it.

In: shards and a model folder. Out: a folder of kind "answers": for every masked piece the most
likely pieces and their logits, and the outputs of chosen layers. The teacher may so run on another
machine, once for many students, and each trains at its own speed: with the same masks, which the
settings below decide (`hanmo pretrain` checks that its own are the same). A kill costs a part of
4,096 sequences; the same command goes on.

    hanmo teach work/shards --teacher work/lert --top-k 64 --dupe-factor 5 --out work/answers
    hanmo pretrain work/shards --objective distill --distill.answers work/answers --dupe-factor 5 …
"""

import dataclasses
import itertools
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hanmo.core import config as configuration
from hanmo.core.artifact import building, digest, read_manifest
from hanmo.core.errors import UserError
from hanmo.core.log import Progress, say
from hanmo.data.answers import (
    KIND,
    PART,
    TEACHER,
    Part,
    bytes_of,
    marks_of,
    part_folder,
    write_part,
)
from hanmo.data.pairing import PARTNERS
from hanmo.data.ragged import Corrupted

if TYPE_CHECKING:
    from hanmo.data.loader import Assembler
    from hanmo.data.sequences import SequencePlan
    from hanmo.distill.teachers import LiveTeacher
    from hanmo.train.devices import Device

_HOW = {"content": False}  # does not change what is stored, within rounding
_OBJECTIVE = "distill"


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo teach`.

    Attributes:
        shards: Folder made by `hanmo encode`.
        teacher: Model folder with a trained masked-LM head.
        out: Folder to make.
        top_k: Most likely pieces to store for each masked one; 0 stores none.
        hidden: Layers whose outputs are stored, as in 0 4 8 12; 0 is the embeddings.
        dtype: "fp16" or "fp32", of what is stored.
        dupe_factor: In so many ways each sequence is masked; students have the same.
        max_length: Longest sequence in pieces; of several phases, each one's in turn.
        partner: Pairs of segments as the student's run makes them: none, nsp or sop.
        short_sequence_rate: Share of sequences that stop at a random shorter length.
        seed: Decides order and masks; students have the same seed, or it as --data-seed.
        soft_at: Pieces that are answered: masked ones, or all.
        unit: What is masked as a whole: word (of the shards' segmentation) or piece.
        ngram: Share of units of 1, 2, 3 … words.
        rate: Share of pieces that are masked.
        shares: Of the masked pieces: [MASK], random piece, kept.
        any_random: Random pieces may be [unusedN] and specials too.
        batch_size: Sequences that run together.
        precision: "auto", "fp32" or "bf16".
        device: "cpu" or "cuda"; by default CUDA when there is one.
        threads: CPU threads; by default all cores.
        overwrite: Replace answers that were made with other settings.
    """

    shards: Path = field(metadata={"positional": True})
    teacher: Path
    out: Path = field(metadata={"output": True})
    top_k: int = 64
    hidden: list[int] = field(default_factory=list)
    dtype: Literal["fp16", "fp32"] = "fp16"
    dupe_factor: int = 1
    max_length: list[int] = field(default_factory=lambda: [512])
    partner: str = "none"
    short_sequence_rate: float = 0.0
    seed: int = 1
    soft_at: str = "masked"
    unit: str = "word"
    ngram: tuple[float, ...] = (1.0,)
    rate: float = 0.15
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    any_random: bool = False
    batch_size: int = field(default=64, metadata=_HOW)
    precision: str = "auto"
    device: str | None = field(default=None, metadata=_HOW)
    threads: int | None = field(default=None, metadata=_HOW)
    overwrite: bool = False


def run(config: Config) -> dict[str, Any]:
    """Store the answers.

    Returns:
        Counts "sequences", "positions" (asked), "pieces" and "bytes".

    Raises:
        UserError: bad settings, a teacher with another vocabulary, no masked-LM head, or layers
            that it does not have.
    """
    _check(config)
    from hanmo.commands._answers import MASKING, described
    from hanmo.data.shards import KIND as SHARDS
    from hanmo.data.shards import ShardSet
    from hanmo.distill.checks import check_vocabulary
    from hanmo.model.config import read_config
    from hanmo.objectives._objective import Corruptor, Vocabulary
    from hanmo.text.tokenizer import Tokenizer
    from hanmo.train import devices

    masking = {name: getattr(config, name) for name in MASKING}
    read_manifest(config.shards, SHARDS)  # which says it if there are none
    tokenizer = Tokenizer.load(config.shards)
    try:
        corruptor = Corruptor(_OBJECTIVE, masking, Vocabulary.of(tokenizer))
    except UserError as error:  # the objective names its options
        name, colon, rest = str(error).removeprefix(f"{_OBJECTIVE}.").partition(":")
        raise UserError(f"--{name.replace('_', '-')}{colon}{rest}") from None
    read_config(config.teacher / "config.json")
    check_vocabulary(config.teacher, tokenizer, whose=str(config.shards))
    shards = ShardSet.open(config.shards)
    device = devices.prepare(config.precision, threads=config.threads, name=config.device)
    teacher = _teacher(config, device)
    content = {
        **described(config, config.max_length, masking, digest(config.shards)),
        "top_k": config.top_k,
        "hidden": config.hidden,
        "dtype": config.dtype,
        "precision": device.precision,
    }
    inputs = {"shards": config.shards} | {
        f"teacher/{name}": config.teacher / name
        for name in ("config.json", "model.safetensors", "pytorch_model.bin")
        if (config.teacher / name).is_file()
    }
    with building(
        config.out, kind=KIND, config=content, inputs=inputs, overwrite=config.overwrite
    ) as build:
        if not build.finished:
            work = _Work(config, shards, corruptor, teacher, device)
            work.check_space(build.dir)
            shutil.copyfile(config.teacher / "config.json", build.dir / TEACHER)
            settings = configuration.resolved(config, sys.modules[__name__])
            configuration.write(build.dir / configuration.CONFIG_FILE, settings)
            with devices.explained("lower --batch-size"):
                work.store(build.dir)
            build.counts.update(_counted(build.dir))
        return {**build.counts, "out": str(config.out)}


def _check(config: Config) -> None:
    for name, least in (("top_k", 0), ("dupe_factor", 1), ("batch_size", 1)):
        if getattr(config, name) < least:
            got = getattr(config, name)
            raise UserError(f"--{name.replace('_', '-')}: got {got}; expected {least} or more")
    if not 0 <= config.seed < 2**63:
        raise UserError(f"--seed: got {config.seed}; expected 0 to 2^63 - 1")
    if config.partner not in PARTNERS:
        raise UserError(f"--partner: no {config.partner!r}; expected one of {', '.join(PARTNERS)}")
    if config.dtype not in ("fp16", "fp32"):
        raise UserError(f"--dtype: no {config.dtype!r}; expected fp16 or fp32")
    if not config.max_length or min(config.max_length) < 8:
        raise UserError(f"--max-length: got {config.max_length}; expected 8 or more, each")
    if len(set(config.hidden)) < len(config.hidden):
        raise UserError(f"--hidden: got {config.hidden}; a layer is there twice")
    if not config.top_k and not config.hidden:
        raise UserError("teach: --top-k 0 and no --hidden: nothing would be stored")


def _teacher(config: Config, device: "Device") -> "LiveTeacher":
    from hanmo.commands._starting import check_teacher
    from hanmo.distill.teachers import load_teacher

    teacher = load_teacher(config.teacher, head=config.top_k > 0, top_k=config.top_k or None)
    shape = teacher.config
    if config.top_k > shape.vocab_size:
        raise UserError(
            f"--top-k: got {config.top_k:,}; {config.teacher} has {shape.vocab_size:,} pieces"
        )
    for layer in config.hidden:
        if not 0 <= layer <= shape.num_hidden_layers:
            raise UserError(
                f"--hidden: got {layer}; {config.teacher} has the layers 0 (embeddings) to "
                f"{shape.num_hidden_layers}"
            )
    check_teacher(shape, max(config.max_length), config.partner, str(config.teacher))
    teacher.apply(lambda model: model.to(device.name))
    return teacher


@dataclass(frozen=True, slots=True)
class _Work:
    """What every part is made with."""

    config: Config
    shards: Any
    corruptor: Any
    teacher: "LiveTeacher"
    device: "Device"

    def check_space(self, folder: Path) -> None:
        """Say what the answers take on the disk; refuse what it has no room for.

        Raises:
            UserError: more than is free, what an earlier run stored counted in.
        """
        config, n = self.config, self.shards.n_pieces
        ways = config.dupe_factor * len(config.max_length)
        # Documents end in sequences that are short.
        sequences = sum(self.shards.n_documents + n // length for length in config.max_length)
        needed = bytes_of(
            sequences=sequences * config.dupe_factor,
            asked=round(n * ways * (1 if config.soft_at == "all" else config.rate)),
            pieces=n * ways,
            top_k=config.top_k,
            hidden=len(config.hidden) * self.teacher.config.hidden_size,
            item=np.dtype(f"float{config.dtype[2:]}").itemsize,
        )
        free = shutil.disk_usage(folder).free
        there = sum(path.stat().st_size for path in folder.rglob("*.npy"))
        say(f"teach: some {_size(needed)} of answers; {_size(free)} are free")
        if needed > free + there:
            raise UserError(
                f"{config.out}: no room: some {_size(needed)} of answers, {_size(free)} are free; "
                "lower --top-k, --dupe-factor or the number of --hidden layers"
            )

    def store(self, folder: Path) -> None:
        """Go through all phases and ways of masking, part by part."""
        for phase, length in enumerate(self.config.max_length):
            self._store_phase(folder, phase, length)

    def _store_phase(self, folder: Path, phase: int, length: int) -> None:
        from hanmo.commands._pretraining import phase_seed
        from hanmo.data.loader import Assembler
        from hanmo.data.sequences import plan_sequences

        config, seed = self.config, phase_seed(self.config.seed, phase)
        plan = plan_sequences(
            self.shards,
            max_length=length,
            partner=config.partner,
            short_sequence_rate=config.short_sequence_rate,
            seed=seed,
        )
        assembler = Assembler(
            self.shards,
            self.corruptor,
            length,
            seed,
            pack=True,
            dupe_factor=config.dupe_factor,
            swaps=plan.swaps,
        )
        title = "teach" if len(config.max_length) == 1 else f"teach, phase {phase + 1}"
        ways = "" if config.dupe_factor == 1 else f", masked in {config.dupe_factor} ways"
        say(f"{title}: {len(plan):,} sequences{ways}")
        starts = list(enumerate(range(0, len(plan), PART)))
        with Progress(title, len(plan) * config.dupe_factor, "sequences") as bar:
            for repeat, (number, begin) in itertools.product(range(config.dupe_factor), starts):
                end = min(len(plan), begin + PART)
                target = part_folder(folder, phase, repeat, number)
                if target.is_dir():
                    bar.skip(end - begin)
                    continue
                made = []
                for here in _batches(begin, end, config.batch_size):
                    corrupted = _corrupted(assembler, plan, repeat, here)
                    made.append(self._answers(corrupted, assembler))
                    bar.advance(len(here))
                write_part(target, _joined(made))

    def _answers(self, corrupted: Corrupted, assembler: "Assembler") -> Part:
        """Run the teacher on sequences; its answers come in their order."""
        import torch

        from hanmo.data.batches import collate
        from hanmo.distill.teachers import Watch
        from hanmo.model.trainable import Batch

        n_pieces = int(corrupted.offsets[-1])
        numbered = {**corrupted.inputs, "_number": np.arange(n_pieces)}
        arrays = collate(
            dataclasses.replace(corrupted, inputs=numbered, partners=None),
            max_length=assembler.max_length,
            pad_id=assembler.shards.legend.special_ids["pad"],
            pack=True,
        )
        numbers = arrays.pop("_number").reshape(-1)
        batch = Batch.from_arrays(arrays, self.device.name)
        dtype = torch.float16 if self.config.dtype == "fp16" else torch.float32
        with torch.inference_mode(), self.device.autocast():
            answer = self.teacher.answer(batch, Watch(frozenset(self.config.hidden)))
            classes, logits = _best(answer, len(corrupted.positions), dtype)
            real = batch.layout.among_real(batch.layout.real)
            order = np.argsort(numbers[batch.layout.real.cpu().numpy()])
            hidden = {
                layer: values.index_select(0, real).to(dtype).cpu().numpy()[order]
                for layer, values in sorted(answer.seen.hidden.items())
            }
        bounds = np.searchsorted(corrupted.positions, corrupted.offsets)
        return Part(marks_of(corrupted), bounds, corrupted.offsets, classes, logits, hidden)


def _size(n: int) -> str:
    return f"{n / 1e9:,.2f} GB" if n >= 1e9 else f"{n / 1e6:,.3f} MB"


def _batches(begin: int, end: int, size: int) -> Iterator[np.ndarray]:
    for first in range(begin, end, size):
        yield np.arange(first, min(end, first + size), dtype=np.int64)


def _corrupted(
    assembler: "Assembler", plan: "SequencePlan", repeat: int, indices: np.ndarray
) -> Corrupted:
    """Mask sequences as a student's run does in the epochs of that repeat."""
    from hanmo.data.loader import Selection

    answers = None if plan.answers is None else plan.answers[indices]
    selection = Selection(np.full_like(indices, repeat), indices, plan.ranges(indices), answers)
    return assembler.corrupted(selection, np.arange(len(indices)))


def _best(answer: Any, n: int, dtype: Any) -> tuple[Any, Any]:
    """The most likely pieces of each asked position and their logits, [M, k] each."""
    if answer.rows is None:
        return None, None
    step, classes, logits = 512, [], []
    for begin in range(0, max(n, 1), step):
        scores = answer.rows(begin, min(n, begin + step))
        classes.append(scores.classes.int().cpu().numpy())
        logits.append(scores.values.to(dtype).cpu().numpy())
    return np.concatenate(classes), np.concatenate(logits)


def _joined(parts: list[Part]) -> Part:
    def one(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values)

    def bounds(name: str) -> Any:
        sizes = [np.diff(getattr(part, name)) for part in parts]
        return np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)

    return Part(
        one("marks"),
        bounds("asked"),
        bounds("pieces"),
        one("classes"),
        one("logits"),
        {layer: np.concatenate([p.hidden[layer] for p in parts]) for layer in parts[0].hidden},
    )


def _counted(folder: Path) -> dict[str, int | float]:
    counts: dict[str, int | float] = {"sequences": 0, "positions": 0, "pieces": 0}
    for path in folder.glob("phase-*/repeat-*/*/marks.npy"):
        counts["sequences"] += len(np.load(path, mmap_mode="r"))
        counts["positions"] += int(np.load(path.with_name("asked.npy"), mmap_mode="r")[-1])
        counts["pieces"] += int(np.load(path.with_name("pieces.npy"), mmap_mode="r")[-1])
    counts["bytes"] = sum(path.stat().st_size for path in folder.rglob("*.npy"))
    return counts
