"""CRC-32C: published check values, pieces, and the masked form."""

from hypothesis import given
from hypothesis import strategies as st

from hanmo.core.crc import crc32c, masked, unmasked


def test_published_values() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the polynomial's check value
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(bytes([0xFF] * 32)) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@given(st.binary(), st.binary())
def test_pieces(first: bytes, second: bytes) -> None:
    assert crc32c(second, crc32c(first)) == crc32c(first + second)
    assert crc32c(memoryview(first)) == crc32c(first)


@given(st.integers(0, (1 << 32) - 1))
def test_masked_comes_back(crc: int) -> None:
    assert unmasked(masked(crc)) == crc


def test_more_than_a_chunk() -> None:
    data = bytes(range(256)) * 20_000
    assert crc32c(data) == crc32c(data[3_000_000:], crc32c(data[:3_000_000]))
