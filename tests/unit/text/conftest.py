"""A small vocabulary in BERT's layout, enough for Chinese, Latin, numbers, kana and jamo."""

import string

import pytest

from hanmo.text.tokenizer import Tokenizer

CHARS = "中国人民大学，。！？《》“…豈かき한0123456789" + string.ascii_lowercase + "!()[].-σς"
JAMO = "\u1112\u1161\u11ab"


@pytest.fixture(scope="session")
def vocab() -> list[str]:
    head = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    singles = [*dict.fromkeys(CHARS + JAMO)]
    inner = ["##" + char for char in string.ascii_lowercase + "0123456789きσς" + JAMO]
    return [*head, "<S>", "<T>", *singles, "he", "##llo", "cafe", "2010", *inner]


@pytest.fixture(scope="session")
def tokenizer(vocab: list[str]) -> Tokenizer:
    return Tokenizer(vocab)
