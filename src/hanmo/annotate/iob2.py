"""Reader of entity files in the format of Universal NER.

In: rows ``id TAB word TAB label TAB - TAB -`` with a blank line after each sentence and comments
``# sent_id = …``, ``# text = …``. Out: `TaggedSentence` with the labels as they stand (IOB2).
Format: github.com/UniversalNER, files ``*.iob2``.

Example: ``for sentence in read_iob2(Path("zh_gsdsimp-ud-train.iob2")): …``
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hanmo.annotate._blocks import document_id, read_blocks
from hanmo.annotate.bieos import iob2_to_spans
from hanmo.annotate.sentence import locate_words
from hanmo.core.errors import UserError

N_COLUMNS = 5


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """A sentence with one IOB2 label per word.

    Attributes:
        forms: The words.
        tags: IOB2 labels.
        text: The sentence; the words tile it, apart from white space.
        sent_id: ``# sent_id``, or "".
        document: Id of the document that begins with this sentence, or None.
        where: ``file:line`` of the sentence.
    """

    forms: tuple[str, ...]
    tags: tuple[str, ...]
    text: str
    sent_id: str
    document: str | None
    where: str


def read_iob2(path: Path) -> Iterator[TaggedSentence]:
    """Yield the sentences of a file.

    Raises:
        UserError: Wrong column count, word numbers that are not 1, 2, 3 …, a label that is not
            IOB2, words that do not follow the text, a cut file, an empty file.
    """
    for block in read_blocks(path, N_COLUMNS):
        for number, (line, columns) in enumerate(block.rows, 1):
            if columns[0] != str(number) or not columns[1]:
                raise UserError(
                    f"{block.where(line)}: row {columns[0]!r} {columns[1]!r} — expected word "
                    f"number {number} and a word"
                )
        forms = tuple(columns[1] for _, columns in block.rows)
        tags = tuple(columns[2] for _, columns in block.rows)
        try:
            iob2_to_spans(tags)
        except UserError as error:
            raise UserError(f"{block.where()}: {error}") from None
        text = block.comments.get("text", "".join(forms))
        locate_words(text, forms, block.where())
        yield TaggedSentence(
            forms=forms,
            tags=tags,
            text=text,
            sent_id=block.comments.get("sent_id", ""),
            document=document_id(block.comments),
            where=block.where(),
        )
