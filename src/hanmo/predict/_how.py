"""How a model is run: what a user may choose of it, known without torch."""

import dataclasses
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hanmo.core.errors import UserError

EngineName: TypeAlias = Literal["torch", "onnx", "auto"]
Precision: TypeAlias = Literal["auto", "fp32", "bf16"]

# Files of `hanmo export`: the graphs, and what is said of them.
ONNX, INT8, REPORT = "model.onnx", "model.int8.onnx", "export.json"


@dataclasses.dataclass(frozen=True, slots=True)
class How:
    """How a model is run.

    Attributes:
        engine: "torch"; "onnx", the smallest file that `hanmo export` put into the folder; or
            "auto", the fastest of what the folder has on this machine.
        only: of "auto": the engine of this name (`Engine.name`), whichever is the fastest.
        precision: of torch: "fp32", "bf16" (weights and products; its probabilities differ in the
            third digit), or "auto": bf16 where this machine gains by it.
        batch_tokens: pieces of one forward pass, padding included; default: the engine's own.
        shared: folder → its engine, and file → its tokenizer, for several kinds of answers of one
            model; default: each loads its own. The first one opened must have the heads of all.
    """

    engine: EngineName = "torch"
    only: str | None = None
    precision: Precision = "fp32"
    batch_tokens: int | None = None
    shared: dict[Path, Any] | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise UserError(f"--batch-tokens: got {self.batch_tokens}; expected 1 or more")


DEFAULT = How()
