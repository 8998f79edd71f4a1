"""What the tests of inspection share: a few labelled documents, and how they are stored."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hanmo.annotate.sentence import Sentence, locate_words
from hanmo.annotate.store import write_part
from hanmo.core.artifact import building

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CHARACTERS = "他她去了上海北京大学看见一只猫和狗，。在工作今天雨很大我们回家吃饭"
VOCAB = [*SPECIALS, *dict.fromkeys(_CHARACTERS), "play", "##ing", "we"]


def sentence(marked: str) -> Sentence:
    """`"他/r/O/SBV 去/v/O/HED"` as a sentence; `_` is a blank of the text, ? a missing label."""
    words, labels, text = [], [], ""
    for item in marked.split():
        word, *found = item.split("/")
        if word == "_":
            text += " "
            continue
        text += word
        words.append(word)
        labels.append([None if label == "?" else label for label in found])
    layers = {
        layer: tuple(row[number] for row in labels)
        for number, layer in enumerate(("pos", "ner", "dep"))
    }
    return Sentence(text, locate_words(text, words), layers)


FIRST = "他/r/O/SBV 去/v/O/HED 了/u/O/RAD 上海/ns/S-Ns/VOB 。/wp/O/WP"
SECOND = "她/r/O/SBV 在/p/O/ADV 北京/ns/B-Ni/ATT 大学/n/E-Ni/POB 工作/v/O/HED"
THIRD = "我们/r/O/SBV playing/ws/O/HED _ we/ws/O/? 囧/e/O/VOB"
FOURTH = "今天/nt/O/ADV 雨/n/O/SBV 很/d/O/ADV 大/a/O/HED ，/wp/O/WP 回家/v/O/COO 吃饭/v/O/COO"

Rows = Sequence[tuple[str, Sentence]]
DOCUMENTS: tuple[Rows, ...] = (
    [("a", sentence(FIRST)), ("a", sentence(SECOND)), ("b", sentence(THIRD))],
    [("c", sentence(FOURTH))] * 7,
    [("d", sentence(SECOND)), ("e", sentence(FIRST)), ("e", sentence(FOURTH))],
)


def write_sentences(folder: Path, parts: Iterable[Rows]) -> Path:
    with building(folder, kind="sentences", config={}) as build:
        for number, rows in enumerate(parts):
            write_part(build.dir / f"part-{number:05d}.parquet", rows)
            build.counts["characters"] = build.counts.get("characters", 0) + sum(
                len(row.text) for _, row in rows
            )
    return folder


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
