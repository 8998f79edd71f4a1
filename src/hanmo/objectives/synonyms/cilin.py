"""Groups of similar words, one a line: HIT's Cilin (同义词词林扩展版) and lists of that form.

    Aa01A01= 人 士 人物 人士 人氏 人选

The code ends with "=" (synonyms), "#" (related words) or "@" (a word by itself). Lines with another
code (headings of categories), and "#" lines unless asked for, are passed over. UTF-8, or GB18030
with CRLF, as the file is distributed; plain or compressed.
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from hanmo.core.errors import UserError
from hanmo.core.files import open_bytes

_CODE = re.compile(r"[A-Z][a-z]\d\d[A-Z]\d\d([=#@])")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Options of Cilin.

    Attributes:
        related: Take the groups of related words ("#") too.
    """

    related: bool = False

    def groups(self, path: Path) -> Iterator[tuple[str, list[str]]]:
        """Yield each word with the others of its line.

        Raises:
            UserError: not text, or no groups in it.
        """
        n_groups = 0
        for line in _text(path).splitlines():
            code, *words = line.split() or [""]
            match = _CODE.fullmatch(code)
            if match is None or match[1] == "@" or (match[1] == "#" and not self.related):
                continue
            n_groups += 1
            for word in words:
                yield word, [other for other in words if other != word]
        if not n_groups:
            raise UserError(
                f"{path}: no groups of words in it; expected lines such as 'Aa01A01= 人 士 人物'"
            )


def _text(path: Path) -> str:
    try:
        with open_bytes(path) as file:
            raw = file.read()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a file of synonyms") from None
    except (OSError, EOFError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UserError(f"{path}: neither UTF-8 nor GB18030; expected a file of synonyms")
