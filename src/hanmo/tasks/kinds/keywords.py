"""Whether all of some keywords are a text's own: CSL's abstracts with real and false keywords.

[CLS] keywords [SEP] text [SEP], as CLUE's baseline has it: keywords joined by spaces come first. A
pair too long loses pieces of the text alone, for a keyword that is not read cannot be judged.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from hanmo.tasks.kind import Features, RowSkipped, label_of, text_of
from hanmo.tasks.kinds._pooled import OneLabel, label_target, one_sequence
from hanmo.tasks.task import LABEL, Example, Task
from hanmo.text.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, slots=True)
class Kind(OneLabel):
    """One label for keywords and a text.

    Attributes:
        separator: what stands between keywords.
    """

    separator: str = " "

    fields: ClassVar = ("text", "keywords")
    optional_fields: ClassVar[tuple[str, ...]] = ()

    def read(self, id: str, row: Mapping[str, Any], task: Task, *, train: bool) -> Example:
        """Read a text, a list of keywords and a label."""
        words = row["keywords"]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"keywords: got {words!r}; expected a list of texts")
        words = [word for word in words if word.strip()]
        if not words:
            raise RowSkipped("empty_text")
        fields = {"text": text_of(row["text"], "text"), "keywords": self.separator.join(words)}
        return Example(id, fields, label_of(row.get(LABEL), task))

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn keywords and a text into [CLS] keywords [SEP] text [SEP]."""
        texts = [example.fields["keywords"], example.fields["text"]]
        target = label_target(example, task)
        return one_sequence(example, texts, task, tokenizer, target=target, kept=_second_loses)


def _second_loses(lengths: Sequence[int], room: int) -> list[int]:
    first = min(lengths[0], room)
    return [first, min(lengths[1], room - first)]
