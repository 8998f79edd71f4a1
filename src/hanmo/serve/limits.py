"""What a server takes at most; every limit has its own answer."""

import dataclasses

from hanmo.core.errors import UserError


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a server.

    Attributes:
        body_bytes: of a request's body; more: 413.
        inputs: of one request; more: 422.
        characters: of one text; more: 422.
        work: pieces that one request may make the model run; more: 422.
        waiting: pieces that may wait in all; more: 429.
        requests: requests at a time; more: 429.
        top_k: answers that may be asked for.
        seconds: for a request; more: 504, or 408 where its body does not come.
    """

    body_bytes: int = 1 << 20
    inputs: int = 128
    characters: int = 20_000
    work: int = 131_072
    waiting: int = 262_144
    requests: int = 512
    top_k: int = 50
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) <= 0:
                flag = field.name.replace("_", "-")
                raise UserError(f"--{flag}: got {getattr(self, field.name)}; expected more than 0")


DEFAULT = Limits()
