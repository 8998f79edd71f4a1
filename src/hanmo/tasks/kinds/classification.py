"""One label for a text or a pair of texts, as Google's run_classifier and HF's BERT do it.

[CLS] a [SEP] or [CLS] a [SEP] b [SEP]; a pair too long loses pieces at the end of the longer text.
A row whose label is a list, as CAIL 2018's accusations, is an error unless the task says otherwise.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from hanmo.tasks.kind import Features, RowSkipped
from hanmo.tasks.kinds._pooled import OneLabel, label_target, one_sequence, read_texts
from hanmo.tasks.task import LABEL, Example, Task
from hanmo.text.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, slots=True)
class Kind(OneLabel):
    """One label an example.

    Attributes:
        several: what to do with labels that are lists: "error", "first" (the first one counts) or
            "skip" (rows with several are left out and counted).
        label_without: characters that are deleted from labels.
    """

    several: Literal["error", "first", "skip"] = "error"
    label_without: str = ""

    fields: ClassVar = ("text_a",)
    optional_fields: ClassVar = ("text_b",)

    def read(self, id: str, row: Mapping[str, Any], task: Task, *, train: bool) -> Example:
        """Read a text, or two, and a label."""
        row = {**row, LABEL: self._label(row.get(LABEL))}
        return read_texts(id, row, task, ("text_a", "text_b"))

    def _label(self, value: Any) -> Any:
        if isinstance(value, list):
            if self.several == "error":
                raise ValueError(
                    f"label: got the list {str(value)[:60]}; expected one label; several = "
                    '"first" or "skip" in the task\'s options takes lists'
                )
            if len(value) > 1 and self.several == "skip":
                raise RowSkipped("several_labels")
            if not value:
                raise ValueError("label: got an empty list; expected one label or more")
            value = value[0]
        if isinstance(value, str):
            value = value.translate(dict.fromkeys(map(ord, self.label_without)))
        return value

    def encode(self, example: Example, task: Task, tokenizer: Tokenizer) -> Features:
        """Turn a text or a pair into [CLS] a [SEP] (b [SEP])."""
        texts = [example.fields[name] for name in ("text_a", "text_b") if name in example.fields]
        target = label_target(example, task)
        return one_sequence(example, texts, task, tokenizer, target=target)
