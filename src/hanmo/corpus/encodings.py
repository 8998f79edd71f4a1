"""Tell the encodings of Chinese text apart: UTF-8, GB18030 (with GBK and GB2312), Big5.

UTF-8 is proved by its form. The other two accept nearly any bytes, so that of their readings the
one with more common characters is taken, and none where neither looks like Chinese.

    guess_file(Path("a.txt"))    # "gb18030"
"""

import codecs
from pathlib import Path
from typing import Literal

from hanmo.core.errors import UserError
from hanmo.core.files import MEBIBYTE, is_damage, open_bytes

Encoding = Literal["utf-8", "auto", "gb18030", "big5"]

SAMPLE_BYTES = MEBIBYTE
# The most frequent characters of modern text, in both scripts, and its punctuation. They make a
# good third of any text; of GB18030 read as Big5, or the reverse, under a tenth.
_COMMON = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过"
    "发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本"
    "這個們來為國說時會對著過發後裡種經麼學現當沒動還進樣，。、：；？！“”「」"
)
_LEAST_COMMON = 0.2  # share of common characters among those beyond ASCII
_MOST_BROKEN = 0.01  # share of bytes that the encoding does not know
_CODECS = {"gb18030": "gb18030", "big5": "cp950"}  # cp950: Big5 as Windows writes it
_NAMES = {"gb18030": "GB18030", "big5": "Big5"}


def codec(encoding: Encoding) -> str:
    """Return Python's name of an encoding."""
    return _CODECS.get(encoding, encoding)


def by_first_bytes(sample: bytes) -> str | None:
    """Name the encoding whose byte order mark a file begins with, of those that are not read."""
    # UTF-32's little-endian mark begins with UTF-16's.
    for name, marks in (
        ("UTF-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
        ("UTF-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
    ):
        if sample.startswith(marks):
            return name
    return None


def to_utf8(encoding: str) -> str:
    """Return the command that converts a file."""
    return f"iconv -f {encoding} -t UTF-8"


def guess_line(line: bytes) -> str | None:
    """Say what a line that is not UTF-8 reads as: "GB18030", "Big5" or None."""
    found = _guess(line)
    return None if found is None else _NAMES[found]


def guess_file(path: Path) -> Encoding:
    """Tell the encoding of a file by its beginning.

    Raises:
        UserError: Damaged, or none of the encodings fits.
    """
    sample = _beginning(path)
    if (wide := by_first_bytes(sample)) is not None:
        raise UserError(f"{path}: {wide} by its first bytes; convert it: {to_utf8(wide)}")
    if is_utf8(sample):
        return "utf-8"
    found = _guess(sample)
    if found is None:
        raise UserError(
            f"{path}: neither UTF-8 nor, by its characters, GB18030 or Big5; name the encoding "
            "with --encoding, or convert the file to UTF-8"
        )
    return found


def _beginning(path: Path) -> bytes:
    """Read some of a file: until it is damaged, which is told when the file is read."""
    sample = b""
    try:
        with open_bytes(path) as stream:
            while len(sample) < SAMPLE_BYTES and (piece := stream.read1(SAMPLE_BYTES)):  # type: ignore[attr-defined]
                sample += piece
    except Exception as error:
        if not is_damage(error):
            raise
        if not sample:
            raise UserError(
                f"{path}: damaged archive at its beginning ({error}); fetch or pack it again"
            ) from None
    return sample


def decode_page(content: bytes, declared: str | None) -> str:
    """Decode a web page: as UTF-8 where it is that, else as it declares, else by its characters.

    Raises:
        ValueError: None of them fits.
    """
    known = declared is not None and _known(declared)
    names = ["utf-8", *([_widest(declared)] if known and declared else [])]
    found = _guess(content)
    for name in [*names, *([codec(found)] if found else [])]:
        try:
            return content.decode(name).removeprefix("\ufeff")
        except UnicodeDecodeError:
            continue
    raise ValueError(f"neither UTF-8 nor what it declares ({declared or 'nothing'})")


def is_utf8(sample: bytes) -> bool:
    """Whether bytes are UTF-8, but for a character that their end may cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _guess(sample: bytes) -> Literal["gb18030", "big5"] | None:
    shares = {"gb18030": _common_share(sample, "gb18030"), "big5": _common_share(sample, "cp950")}
    best: Literal["gb18030", "big5"] = "gb18030" if shares["gb18030"] >= shares["big5"] else "big5"
    return best if shares[best] >= _LEAST_COMMON else None


def _common_share(sample: bytes, name: str) -> float:
    text = sample.decode(name, "replace")
    beyond = [char for char in text if char > "\x7f"]
    if not beyond or beyond.count("\ufffd") > 1 + _MOST_BROKEN * len(sample):
        return 0.0
    return sum(char in _COMMON for char in beyond) / len(beyond)


def _known(name: str) -> bool:
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True


def _widest(name: str) -> str:
    """Return the superset that pages are really in, as browsers do: GB2312 → GB18030."""
    wider = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "cp950"}
    return wider.get(codecs.lookup(name).name, name)
