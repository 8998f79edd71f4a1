"""Distillation on a task: the model learns from fine-tuned teachers, beside or instead of labels.

Teachers are folders with the task's head, of any family and size, with the student's vocabulary.
{task} and {seed} in their paths stand for the run's. Without matches a teacher is asked once for
each example, before training: its answers do not change. With matches it runs on every batch.

    hanmo finetune work/rbt3 --task tnews --method distill --distill.teacher runs/tnews/model …
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanmo.core.errors import UserError
from hanmo.distill.settings import Settings

if TYPE_CHECKING:
    from torch import nn

    from hanmo.data.ragged import Corrupted
    from hanmo.tasks.method import Device, Trainee
    from hanmo.tasks.prepared import Prepared
    from hanmo.tasks.task import Task

_AT_ONCE = 1024  # examples between two steps of the progress bar


@dataclasses.dataclass(frozen=True, slots=True)
class Method(Settings):
    """Options of distillation on a task."""

    def __post_init__(self) -> None:
        self.check()
        if not self.teacher:
            raise UserError(
                "distill.teacher: none given; expected folders of hanmo finetune --save-model"
            )

    def for_run(self, task: str, seed: int) -> "Method":
        """Put the run's task and seed into the teachers' paths.

        Raises:
            UserError: no model there.
        """
        teachers = tuple(
            Path(str(folder).replace("{task}", task).replace("{seed}", str(seed)))
            for folder in self.teacher
        )
        for given, folder in zip(self.teacher, teachers, strict=True):
            if not (folder / "config.json").is_file():
                if (folder / "model" / "config.json").is_file():
                    raise UserError(
                        f"distill.teacher: {folder} is a run; its model is {folder / 'model'}: "
                        "pass that"
                    )
                put_in = f" ({{task}} and {{seed}} of {given} put in)" if given != folder else ""
                raise UserError(
                    f"distill.teacher: no model in {folder}{put_in}; expected a folder made by "
                    f"hanmo finetune --task {task} --save-model: RUN/model"
                )
        return dataclasses.replace(self, teacher=teachers)

    def check_fit(self, task: "Task", model: Path) -> None:
        """Compare vocabularies, labels, heads and matched layers, by the configurations alone."""
        from hanmo.distill.checks import check_vocabulary
        from hanmo.distill.matches import check_matches
        from hanmo.distill.teachers import read_shape
        from hanmo.tasks.trained import check_trained
        from hanmo.text.tokenizer import Tokenizer

        tokenizer = Tokenizer.load(model)
        for folder in self.teacher:
            check_vocabulary(folder, tokenizer)
            check_trained(folder, task, whose="a teacher")
        check_matches(self.parsed, read_shape(self.teacher[0]), read_shape(model))

    @property
    def files(self) -> Mapping[str, Path]:
        """The teachers' configurations and weights."""
        names = ("config.json", "model.safetensors", "pytorch_model.bin", "heads.safetensors")
        given = {
            f"teacher {number}/{name}": folder / name
            for number, folder in enumerate(self.teacher, 1)
            for name in names
        }
        return {name: path for name, path in given.items() if path.is_file()}

    def trainee(
        self,
        model: "nn.Module",
        prepared: "Prepared",
        sequences: "Sequence[Corrupted]",
        *,
        device: "Device",
        seed: int,
    ) -> "Trainee":
        """Put the student beside its teachers."""
        import torch

        from hanmo.distill.checks import check_vocabulary
        from hanmo.distill.distillation import TaskDistillation
        from hanmo.distill.teachers import LiveTeacher, StoredOutputs
        from hanmo.model.encoder import initialise
        from hanmo.tasks.method import Trainee
        from hanmo.tasks.trained import load_trained

        self._check_numbers(model, prepared)
        teachers: list[Any] = []
        for number, folder in enumerate(self.teacher):
            check_vocabulary(folder, prepared.tokenizer)
            teacher: Any = load_trained(folder, prepared, whose="a teacher").to(device.name)
            live = LiveTeacher(teacher)
            if self.parsed or not self.soft_weight:
                teachers.append(live)
                continue
            logits = _predicted(teacher, prepared, device, f"teacher {number + 1}")
            sequences = with_answers(sequences, logits, number)
            teachers.append(StoredOutputs(live.config, number, tuple(logits)))
        module = TaskDistillation(model, teachers, self)
        generator = torch.Generator().manual_seed(seed)
        initialise(module.projections, module.encoder.config.initializer_range, generator)
        module.projections.to(device.name)
        return Trainee(module, sequences, {"teachers": [str(path) for path in self.teacher]})

    def _check_numbers(self, model: Any, prepared: "Prepared") -> None:
        number = getattr(model, "n_outputs", 2) == 1
        if number and self.soft_weight and self.soft_loss == "ce":
            raise UserError(
                f"distill.soft_loss: {prepared.task.name} predicts a number, of which there are no "
                "probabilities; pass --distill.soft-loss mse --distill.temperature 1"
            )


def _predicted(teacher: Any, prepared: "Prepared", device: "Device", title: str) -> dict[str, Any]:
    """Ask a teacher about the training split: name → [M, C], positions in its order."""
    import numpy as np

    from hanmo.core.log import Progress
    from hanmo.tasks import batches

    features = prepared.features["train"]
    found: dict[str, list[Any]] = {}
    with Progress(f"{prepared.task.name}: {title}", len(features), "examples") as bar:
        for begin in range(0, len(features), _AT_ONCE):
            some = features[begin : begin + _AT_ONCE]
            arrays = batches.predict(
                teacher,
                some,
                max_length=prepared.task.settings.max_length,
                pad_id=prepared.tokenizer.pad_id,
                device=device.name,
                autocast=device.autocast,
            )
            for name, values in arrays.items():
                found.setdefault(name, []).append(values)
            bar.advance(len(some))
    return {name: np.concatenate(values) for name, values in found.items()}


def with_answers(
    sequences: "Sequence[Corrupted]", logits: Mapping[str, Any], number: int
) -> "list[Corrupted]":
    """Put a teacher's logits beside the targets of each sequence."""
    from hanmo.distill.teachers import stored_name

    made, begin = [], 0
    for sequence in sequences:
        here = slice(begin, begin + len(sequence.positions))
        own = {stored_name(number, name): values[here] for name, values in logits.items()}
        made.append(dataclasses.replace(sequence, targets={**sequence.targets, **own}))
        begin = here.stop
    return made
