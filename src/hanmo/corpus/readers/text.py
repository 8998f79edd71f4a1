"""Plain text, cut into documents by its layout (`corpus/layouts.py`).

list(read(Path("a.txt"), ReadOptions(layout="lines")))    # [Row(key=None, text="…"), …]
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.corpus.layouts import WITHOUT_BLANK_LINES, Line, cut, detect
from hanmo.corpus.reading import Item, ReadOptions, Row, Unreadable, lines, sound_lines

SUFFIXES = (".txt", ".text")


def resolve(path: Path, options: ReadOptions) -> tuple[ReadOptions, str]:
    """Return the options with the layout that the file shows, and a word for it."""
    if options.layout != "auto":
        return options, options.layout
    layout, is_doubtful = detect(sound_lines(path, options), path)
    return replace(options, layout=layout), WITHOUT_BLANK_LINES if is_doubtful else layout


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Yield the documents; one with a line that cannot be read is unreadable as a whole."""
    wrong: list[UserError] = []

    def marked() -> Iterator[Line]:
        for number, line in lines(path, options):
            if isinstance(line, UserError):
                wrong.append(line)
                yield number, "\ufffd"  # a line that is there
            else:
                yield number, line

    # `cut` reads no line of the next document before it has given this one.
    for text in cut(marked(), options.layout, longest=options.longest):
        yield Unreadable(wrong[0]) if wrong else Row(None, text)
        wrong.clear()
