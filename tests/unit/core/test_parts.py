"""Parts of a folder come in the order of their numbers, however many there are."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hanmo.core import parts
from hanmo.core.artifact import building
from hanmo.core.parts import part_name, parts_of


@given(st.sets(st.integers(0, 2_000_000), max_size=12))
def test_parts_come_by_number(tmp_path_factory, numbers: set[int]) -> None:
    out = tmp_path_factory.mktemp("parts") / "out"
    with building(out, kind="corpus", config={}) as build:
        for number in numbers:
            (build.dir / part_name(number, ".jsonl.zst")).write_bytes(b"")
        (build.dir / "missing.jsonl").write_bytes(b"")
    found = parts_of(out, "corpus")
    assert found == [out / part_name(number, ".jsonl.zst") for number in sorted(numbers)]


def test_names_have_five_digits_or_more() -> None:
    assert part_name(3, ".parquet") == "part-00003.parquet"
    assert part_name(123_456, ".parquet") == "part-123456.parquet"
    assert parts.__doc__ is not None and "part-00000" in parts.__doc__
    assert Path(part_name(0, ".a")).suffix == ".a"
