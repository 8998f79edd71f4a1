"""The parts of a finished folder: the files that later stages read, one task each.

A folder of documents or sentences holds `part-00000…`, and may hold other files, such as
`missing.jsonl`.

    parts_of(Path("work/corpus"), "corpus")    # [work/corpus/part-00000.jsonl.zst, …]
"""

from pathlib import Path

from hanmo.core.artifact import read_manifest

_PREFIX = "part-"


def parts_of(folder: Path, kind: str) -> list[Path]:
    """Return the parts in their order.

    Raises:
        UserError: not a finished folder of that kind.
    """
    names = [name for name in read_manifest(folder, kind).files if name.startswith(_PREFIX)]
    # Numbers have five digits, or more.
    return [folder / name for name in sorted(names, key=lambda name: (len(name), name))]


def part_name(number: int, suffix: str) -> str:
    """Name a part: `part_name(3, ".parquet")` is `part-00003.parquet`."""
    return f"{_PREFIX}{number:05d}{suffix}"
