"""Distillation on unlabelled text: a student learns from teachers what stands at masked pieces.

Soft targets and matches of layers, in any mixture (docs/small-models.md):

    DistilBERT   temperature 2, soft_weight 5, hard_weight 2, a cosine match of the last layers of
                 weight 1 (Sanh et al. 2019; facts/06)
    MiniRBT      temperature 8, hidden_mse matches through linear layers, hard_weight 0 (facts/07)

The teacher may be of any family, with the student's vocabulary; it runs on every batch, or its
answers were stored by `hanmo teach`.

    hanmo pretrain work/shards --objective distill --distill.teacher work/lert --size rbt3 --out …
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hanmo.core.errors import UserError
from hanmo.data.draws import Draws
from hanmo.data.ragged import Corrupted, Sequences
from hanmo.distill.settings import Settings
from hanmo.objectives import _masking
from hanmo.objectives._objective import Vocabulary

if TYPE_CHECKING:
    from hanmo.distill.distillation import TextDistillation
    from hanmo.model.config import EncoderConfig


@dataclasses.dataclass(frozen=True, slots=True)
class Objective(Settings):
    """Options of distillation on text.

    Attributes:
        answers: Folders made by `hanmo teach`, instead of teachers.
        top_k: Keep only the teacher's most likely pieces, their probabilities scaled to one;
            default: all, or those stored.
        soft_at: Pieces whose soft targets count: "masked" (MiniRBT), or "all" (DistilBERT's script;
            seven times the work of the head).
        unit: What is chosen as a whole: "piece" (BERT) or "word" (whole word masking).
        ngram: Share of units of 1, 2, 3 … words; HFL's n-gram masking is 0.4 0.3 0.2 0.1.
        rate: Share of pieces chosen.
        shares: Of the chosen pieces: [MASK], random piece, kept.
        any_random: Random pieces may be [unusedN] and specials too, as in Google's script.
    """

    answers: tuple[Path, ...] = ()
    top_k: int | None = None
    soft_at: Literal["masked", "all"] = "masked"
    unit: Literal["piece", "word"] = "word"
    ngram: tuple[float, ...] = (1.0,)
    rate: float = 0.15
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    any_random: bool = False

    def __post_init__(self) -> None:
        _masking.check_unit("distill.unit", self.unit)
        _masking.check_shares("distill.ngram", self.ngram)
        _masking.check_shares("distill.shares", self.shares, n=3)
        _masking.check_rate("distill.rate", self.rate)
        if self.soft_at not in ("masked", "all"):
            raise UserError(f"distill.soft_at: got {self.soft_at!r}; expected masked or all")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"distill.top_k: got {self.top_k}; expected 1 or more")
        if self.top_k is not None and (
            self.soft_loss == "mse" or self.temperature_schedule == "flsw"
        ):
            raise UserError(
                "distill.top_k: mse and flsw compare all logits; leave top_k out, or take ce"
            )
        self.check()
        if self.answers and self.teacher:
            raise UserError("distill: teacher and answers given; expected one of them")
        if self.parsed and len(self.answers) > 1:
            raise UserError(
                "distill.matches: compare layers with those of one teacher; got "
                f"{len(self.answers)} folders of answers"
            )

    @property
    def layers(self) -> tuple[str, ...]:
        """No labels are needed."""
        return ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Of the teachers: a run goes on with the same ones."""
        names = ("config.json", "model.safetensors", "pytorch_model.bin")
        given = [folder / name for folder in self.teacher for name in names]
        return (*given, *(folder / "manifest.json" for folder in self.answers))

    def resources(self, vocabulary: Vocabulary) -> None:
        """Refuse teachers with other pieces; nothing is kept.

        Raises:
            UserError: a teacher's vocabulary is not the student's.
        """
        from hanmo.distill.checks import check_vocabulary

        for folder in self.teacher:
            check_vocabulary(folder, vocabulary.tokenizer)

    def corrupt(self, sequences: Sequences, draws: Draws, vocabulary: Vocabulary) -> Corrupted:
        """Choose units, mask them; the targets "pieces" are the original ids, -1 elsewhere."""
        masked, positions = _masking.mask_units(
            sequences,
            draws,
            vocabulary,
            unit=self.unit,
            ngram=self.ngram,
            rate=self.rate,
            shares=self.shares,
            any_random=self.any_random,
        )
        pieces = sequences.input_ids[positions]
        if self.soft_at == "all":
            everywhere = np.full(len(sequences.input_ids), -1, dtype=pieces.dtype)
            everywhere[positions] = pieces
            positions, pieces = np.arange(len(everywhere)), everywhere
        return Corrupted({"input_ids": masked}, positions, {"pieces": pieces}, sequences.offsets)

    def build(
        self, config: "EncoderConfig", layers: Mapping[str, tuple[str, ...]]
    ) -> "TextDistillation":
        """Build BERT with its MLM head, beside its teachers."""
        from hanmo.distill.distillation import TextDistillation
        from hanmo.distill.teachers import load_teacher, read_shape
        from hanmo.model.masked_lm import MaskedLm

        if self.answers:
            teachers: list[Any] = [
                self._stored(folder, number) for number, folder in enumerate(self.answers)
            ]
        else:
            for folder in self.teacher:
                n = read_shape(folder).vocab_size
                if self.top_k is not None and self.top_k > n:
                    raise UserError(f"distill.top_k: got {self.top_k:,}; {folder} has {n:,} pieces")
            teachers = [
                load_teacher(folder, head=self.soft_weight > 0, top_k=self.top_k)
                for folder in self.teacher
            ]
        return TextDistillation(MaskedLm(config), teachers, self)

    def _stored(self, folder: Path, number: int) -> Any:
        """Open a teacher's answers.

        Raises:
            UserError: what the student wants of the teacher was not stored.
        """
        from hanmo.data.answers import AnswerSet
        from hanmo.distill.teachers import StoredAnswers
        from hanmo.model.config import read_config

        answers = AnswerSet(folder, number)
        if not answers.shape.is_file():
            raise UserError(f"{answers.shape}: missing; run hanmo teach again")
        shape, stored = read_config(answers.shape), int(answers.config["top_k"])
        for match in self.parsed:
            if match.feature != "hidden":
                raise UserError(
                    f"distill.matches: {match.text!r}: {match.feature} is not stored by hanmo "
                    "teach; give the model itself: --distill.teacher"
                )
            lacking = [str(layer) for layer in match.teacher if layer not in answers.layers]
            if lacking:
                raise UserError(
                    f"distill.matches: {match.text!r}: {folder} has no layer {', '.join(lacking)} "
                    f"(it has: {', '.join(map(str, answers.layers)) or 'none'}); run hanmo teach "
                    "with --hidden that lists it"
                )
        if self.soft_weight and not stored:
            raise UserError(
                f"distill.soft_weight: {folder} has no logits; run hanmo teach with --top-k, or "
                "match layers alone: --distill.soft-weight 0"
            )
        if self.soft_weight and (self.top_k or 0) > stored:
            raise UserError(f"distill.top_k: got {self.top_k}; {folder} has {stored} a piece")
        whole = self.soft_loss == "mse" or self.temperature_schedule == "flsw"
        if self.soft_weight and whole:
            raise UserError(
                "distill.answers: mse and flsw compare all logits, and answers have the most "
                "likely alone; give the model itself: --distill.teacher"
            )
        return StoredAnswers(shape, number, logits=self.soft_weight > 0, top_k=self.top_k)
