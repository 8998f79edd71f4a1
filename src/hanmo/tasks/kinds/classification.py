"""One label for a text or a pair of texts, as Google's run_classifier and HF's BERT do it.

[CLS] a [SEP] or [CLS] a [SEP] b [SEP]; a pair too long loses pieces at the end of the longer text.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from hanmo.tasks.kind import Features
from hanmo.tasks.kinds._pooled import OneLabel, label_target, one_sequence, read_texts
from hanmo.tasks.task import Example, Task
from hanmo.text.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, slots=True)
class Kind(OneLabel):
    """One label an example."""

    fields: ClassVar = ("text_a",)
    optional_fields: ClassVar = ("text_b",)

    def read(self, id: str, row: Mapping[str, Any], task: Task, *, train: bool) -> Example:
        """Read a text, or two, and a label."""
        return read_texts(id, row, task, ("text_a", "text_b"))

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn a text or a pair into [CLS] a [SEP] (b [SEP])."""
        texts = [example.fields[name] for name in ("text_a", "text_b") if name in example.fields]
        target = label_target(example, task)
        return one_sequence(example, texts, task, tokenizer, target=target)
