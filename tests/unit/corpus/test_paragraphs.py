"""Repeated paragraphs: compared with a plain walk over all documents, whatever the groups."""

from collections import defaultdict
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.corpus.paragraphs import (
    SLICES,
    ParagraphOptions,
    Paragraphs,
    repeated_in_slice,
    shortened,
)

PARAGRAPHS = st.sampled_from(["短", "首页 新闻", "黄河很长", "长江更长一些", "甲" * 9, "乙" * 9])
GROUPS = st.lists(st.lists(st.lists(PARAGRAPHS, min_size=1, max_size=4), max_size=4), min_size=1)


def removed(
    folder: Path, n_groups: int, keep: list[bool], options: ParagraphOptions
) -> tuple[list[int], list[int]]:
    mask = np.array(keep, dtype=np.bool_)
    found = [repeated_in_slice(folder, n_groups, mask, options, n) for n in range(SLICES)]
    seen = np.sort(np.concatenate([one.seen for one in found]))
    frequent = np.sort(np.concatenate([one.frequent for one in found]))
    return seen.tolist(), frequent.tolist()


@given(GROUPS, st.integers(0, 6), st.integers(0, 3), st.randoms())
@settings(deadline=None, max_examples=40)
def test_same_as_a_walk(
    tmp_path_factory, groups: list[list[list[str]]], dedup_chars: int, frequent_in: int, random
) -> None:
    folder = tmp_path_factory.mktemp("groups")
    for number, documents in enumerate(groups):
        writer = Paragraphs()
        for paragraphs in documents:
            writer.add("\n".join(paragraphs))
        writer.save(folder, number)
    documents = [paragraphs for group in groups for paragraphs in group]
    keep = [random.random() < 0.8 for _ in documents]
    options = ParagraphOptions(dedup_chars=dedup_chars, frequent_in=frequent_in)

    homes: dict[str, set[int]] = defaultdict(set)
    for number, paragraphs in enumerate(documents):
        if keep[number]:
            for paragraph in paragraphs:
                homes[paragraph].add(number)
    place, before = 0, set()
    seen, frequent = [], []
    left: list[list[str]] = []
    for number, paragraphs in enumerate(documents):
        left.append([])
        for paragraph in paragraphs:
            if keep[number] and frequent_in and len(homes[paragraph]) >= frequent_in:
                frequent.append(place)
            elif keep[number] and 0 < dedup_chars <= len(paragraph) and paragraph in before:
                seen.append(place)
            else:
                left[-1].append(paragraph)
            if keep[number]:
                before.add(paragraph)
            place += 1
    assert removed(folder, len(groups), keep, options) == (seen, frequent)
    lengths, starts = shortened(folder, len(groups), np.array(sorted(seen + frequent), dtype=int))
    assert lengths.tolist() == [len("\n".join(paragraphs)) for paragraphs in left]
    assert starts.tolist() == np.cumsum([0, *map(len, documents)]).tolist()
