"""How a model is run: what a user may choose of it, known without torch."""

import dataclasses

from hanmo.core.errors import UserError


@dataclasses.dataclass(frozen=True, slots=True)
class How:
    """How a model is run.

    Attributes:
        precision: "fp32", "bf16" (weights and products; its probabilities differ in the third
            digit), or "auto": bf16 where this machine gains by it.
        batch_tokens: pieces of one forward pass, padding included.
    """

    precision: str = "fp32"
    batch_tokens: int = 8192

    def __post_init__(self) -> None:
        if self.batch_tokens < 1:
            raise UserError(f"--batch-tokens: got {self.batch_tokens}; expected 1 or more")


DEFAULT = How()
