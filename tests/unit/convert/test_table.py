"""LevelDB tables: round trips over block sizes and restarts, Snappy, and every kind of damage."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.convert.tf1 import table
from hanmo.convert.tf1.table import MAGIC, table_bytes, table_items
from hanmo.core.crc import crc32c, masked
from hanmo.core.errors import UserError
from hanmo.core.wire import varint

contents = st.dictionaries(
    st.one_of(st.binary(max_size=30), st.text("ab/", max_size=60).map(str.encode)),
    st.binary(max_size=50),
    max_size=60,
)


def block(entries: bytes, restarts: tuple[int, ...] = (0,), kind: int = 0) -> bytes:
    points = b"".join(value.to_bytes(4, "little") for value in (*restarts, len(restarts)))
    return sealed(entries + points, kind)


def sealed(content: bytes, kind: int = 0) -> bytes:
    content += bytes([kind])
    return content + masked(crc32c(content)).to_bytes(4, "little")


def entry(key: bytes, value: bytes, shared: int = 0) -> bytes:
    return varint(shared) + varint(len(key)) + varint(len(value)) + key + value


def table_of(*blocks: bytes, order: tuple[int, ...] | None = None) -> bytes:
    """Put blocks into a table; `order` says which of them its index names."""
    handles, data = [], b""
    for one in blocks:
        handles.append(varint(len(data)) + varint(len(one) - 5))
        data += one
    named = range(len(blocks)) if order is None else order
    index = block(
        b"".join(entry(b"%03d" % place, handles[number]) for place, number in enumerate(named)),
    )
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(index) - 5)
    return data + index + footer.ljust(40, b"\0") + MAGIC


def read(folder: Path, data: bytes) -> dict[bytes, bytes]:
    path = folder / "made.index"
    path.write_bytes(data)
    return dict(table_items(path))


@settings(max_examples=60, deadline=None)
@given(contents, st.booleans(), st.sampled_from([1, 50, 300, 1 << 18]), st.integers(1, 20))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    items: dict[bytes, bytes],
    snappy: bool,
    block_bytes: int,
    interval: int,
) -> None:
    data = table_bytes(
        sorted(items.items()), snappy=snappy, block_bytes=block_bytes, restart_interval=interval
    )
    back = read(tmp_path_factory.mktemp("table"), data)
    assert back == items
    assert list(back) == sorted(items)


@pytest.mark.parametrize("snappy", [False, True])
def test_large_keys_and_values(tmp_path: Path, snappy: bool) -> None:
    items = {bytes([65 + i]) * 300_000: bytes([i]) * 700_000 for i in range(4)}
    assert read(tmp_path, table_bytes(sorted(items.items()), snappy=snappy)) == items


def test_snappy_is_smaller_and_blocks_are_many(tmp_path: Path) -> None:
    items = {b"layer_%05d" % i: b"value" * 4 for i in range(5000)}
    plain = table_bytes(items.items(), block_bytes=4096)
    packed = table_bytes(items.items(), block_bytes=4096, snappy=True)
    assert len(packed) < len(plain) / 3
    assert read(tmp_path, plain) == read(tmp_path, packed) == items
    assert plain.count(b"layer_0") > 30  # a block begins with a whole key


def test_a_block_as_the_format_describes_it() -> None:
    data = table_bytes([(b"abc", b"1"), (b"abd", b"22")])
    assert data.startswith(b"\0\3\1abc1" + b"\2\1\2d22" + bytes(4) + b"\1\0\0\0" + b"\0")
    assert data.endswith(MAGIC)
    assert b"\0\1\2b\0" in data  # the index: a short key after the last one, and the block's place


def test_short_keys_of_the_index() -> None:
    assert table._between(b"abcdef", b"abzz") == b"abd"
    assert table._between(b"abc", b"abd") == b"abc"  # nothing shorter lies between
    assert table._between(b"ab", b"abc") == b"ab"
    assert table._after(b"\xff\xffab") == b"\xff\xffb"
    assert table._after(b"\xff") == b"\xff"


@given(contents.filter(lambda items: len(items) > 1))
def test_short_keys_lie_between(items: dict[bytes, bytes]) -> None:
    one, two = sorted(items)[:2]
    assert one <= table._between(one, two) < two
    assert two <= table._after(two)


@pytest.mark.parametrize("keys", [[b"b", b"a"], [b"a", b"a"]])
def test_keys_must_ascend(keys: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keys must ascend"):
        table_bytes([(key, b"") for key in keys])
    with pytest.raises(UserError, match="keys out of order in the block at offset 0"):
        read(tmp_path, table_of(block(entry(keys[0], b"") + entry(keys[1], b""))))


def test_made_by_hand(tmp_path: Path) -> None:
    two = block(entry(b"m", b"1") + entry(b"n", b"2", shared=1) + entry(b"z", b""), (0, 10))
    data = table_of(block(entry(b"", b"head") + entry(b"a", b"")), two)
    assert read(tmp_path, data) == {b"": b"head", b"a": b"", b"m": b"1", b"mn": b"2", b"z": b""}


DEEP = b"k" * 60_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes that do not end with a table's footer"),
        (MAGIC, "8 bytes that do not end"),
        (b"x" * 100, "100 bytes that do not end with a table's footer"),
        (bytes(40) + MAGIC, "block at offset 0 of 0 bytes reaches beyond"),
        (b"\xff" * 40 + MAGIC, "footer: number of more than 64 bits"),
        (table_of(block(b"", ())), "0 restart points"),
        (table_of(sealed(b"\xff\xff\xff\xff")), "4,294,967,295 restart points in 4 bytes"),
        (table_of(sealed(b"")), "0 restart points in 0 bytes"),
        (table_of(block(b"", (0, 4))), "a restart point that is none"),
        (table_of(block(entry(b"a", b"") + entry(b"b", b"", 1), (0, 4))), "restart point"),
        (table_of(block(b"\0\5\0ab")), "the entry at 0 reaches beyond its end"),
        (table_of(block(b"\1\0\0")), "the entry at 0 reaches beyond its end"),
        (table_of(block(b"\0\1\xff\xff\xff\xff\x0fa")), "the entry at 0 reaches beyond"),
        (table_of(block(b"\x80")), "cut off within a number"),
        (table_of(block(b"", kind=4)), "compression 4; expected 0"),
        (table_of(sealed(b"\x08abc", kind=1)), "block at offset 0: snappy"),
        (table_of(sealed(b"\xff\xff\xff\xff\x0f", kind=1)), "unpack to 4,294,967,295"),
        (table_of(sealed(b"\x80", kind=1)), "cut off within a number"),
        (table_of(block(entry(b"a", b"")), order=(0, 0)), "begins before the last one's end"),
        (table_of(block(entry(b"b", b"")), block(entry(b"a", b""))), "out of order"),
        (
            table_of(
                block(
                    entry(DEEP, b"")
                    + b"".join(entry(b"%05d" % i, b"", shared=60_000) for i in range(2000))
                )
            ),
            "keys of more than",
        ),
    ],
)
def test_damage_is_told(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, data)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'made.index'}: ")
    assert "fetch the checkpoint again" in str(caught.value)


def test_a_block_that_is_no_list_of_places(tmp_path: Path) -> None:
    index = block(entry(b"a", b"\x01"))
    footer = (varint(0) * 2 + varint(0) + varint(len(index) - 5)).ljust(40, b"\0") + MAGIC
    with pytest.raises(UserError, match="cut off within a number"):
        read(tmp_path, index + footer)


@pytest.mark.parametrize("snappy", [False, True])
def test_every_flipped_bit_is_found_or_harmless(tmp_path: Path, snappy: bool) -> None:
    """A bit of the footer's zeros, and the place of the unused metadata, change nothing."""
    items = {b"": b"head", **{b"layer/%d" % i: b"x" * i for i in range(5)}}
    good = table_bytes(sorted(items.items()), block_bytes=40, snappy=snappy)
    harmless = 0
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        try:
            assert read(tmp_path, bytes(data)) == items
            harmless += 1
        except UserError as error:
            assert "made.index" in str(error)
    # 40 bytes of the footer, and the empty block of metadata with its trailer.
    assert harmless < 8 * (40 + 20)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    good = table_bytes([(b"layer/%d" % i, b"x" * i) for i in range(8)], block_bytes=40)
    for length in range(len(good)):
        with pytest.raises(UserError):
            read(tmp_path, good[:length])


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        list(table_items(tmp_path / "none.index"))
    with pytest.raises(UserError, match="no such file"):
        list(table_items(tmp_path))
