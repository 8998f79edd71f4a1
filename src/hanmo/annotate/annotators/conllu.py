"""Words and labels from CoNLL-U files: treebanks, or the output of any other tagger.

In: files in CoNLL-U form, plain or compressed. Out: `Sentence` with the layers that the file gives.
Parts of speech stand in XPOS (else UPOS), relations in DEPREL, entities in MISC as ``NER=B-Nh``;
"_" or an absent key means a missing label. Files whose labels are not LTP's but those of
Universal Dependencies are converted (`hanmo.annotate.ud`).

Example: ``hanmo annotate train.conllu --annotator conllu --conllu.tagset ud --out sentences``
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hanmo.annotate.conllu import Tree, format_tree, parse_tree, read_conllu
from hanmo.annotate.sentence import Sentence, locate_words
from hanmo.annotate.tagsets import ltp_dep, ltp_pos
from hanmo.annotate.ud import convert
from hanmo.core.errors import UserError
from hanmo.core.files import stem

Labels = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Annotator:
    """Reader of annotated files.

    Attributes:
        tagset: What the labels are: "ltp" (LTP's own) or "ud" (Universal Dependencies, version 1 or
            2, converted to LTP's).
    """

    tagset: Literal["ltp", "ud"] = "ltp"

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that a file may give."""
        return ("pos", "ner", "dep")

    def read_documents(self, path: Path) -> Iterator[tuple[str, list[str]]]:
        """Yield document ids and sentences, each sentence as a CoNLL-U block.

        A document begins at ``# newdoc``; a file without it is one document.

        Raises:
            UserError: The file is not well-formed (file and line are named).
        """
        name, blocks, number = stem(path), list[str](), 0
        for tree in read_conllu(path):
            if tree.document is not None:
                if blocks:
                    yield name, blocks
                number += 1
                name, blocks = tree.document or f"{stem(path)}-{number}", []
            blocks.append(format_tree(tree))
        yield name, blocks

    def annotate(self, texts: Sequence[str]) -> list[Sentence]:
        """Turn CoNLL-U blocks into sentences; an empty text gives a sentence without words."""
        return [self._sentence(text) for text in texts]

    def _sentence(self, text: str) -> Sentence:
        if not text:
            return Sentence("", (), {})
        tree = parse_tree(text)
        layers = _ud_layers(tree) if self.tagset == "ud" else _ltp_layers(tree)
        given = {name: labels for name, labels in layers.items() if set(labels) != {None}}
        sentence = Sentence(tree.text, locate_words(tree.text, tree.forms, tree.where), given)
        try:
            sentence.validate(tree.where)
        except UserError as error:
            raise UserError(f"{error}; the labels are read as tagset {self.tagset!r}") from None
        return sentence


def _ltp_layers(tree: Tree) -> dict[str, Labels]:
    """Return the layers of a tree whose labels are LTP's."""
    pairs = zip(tree.xpos, tree.upos, strict=True)
    given = [_given(xpos) or _given(upos) for xpos, upos in pairs]
    pos = [tag and ltp_pos(tag, form) for tag, form in zip(given, tree.forms, strict=True)]
    relations = [_given(relation) for relation in tree.deprels]
    dep = [label and ltp_dep(label, tag) for label, tag in zip(relations, pos, strict=True)]
    return {"pos": tuple(pos), "ner": _entities(tree), "dep": tuple(dep)}


def _ud_layers(tree: Tree) -> Mapping[str, Labels]:
    """Return the layers of a UD tree, converted."""
    ner = _entities(tree)
    entities = [label or "O" for label in ner] if any(ner) else None
    converted = convert(tree, entities)
    return {"pos": converted.pos, "ner": ner, "dep": converted.dep}


def _given(value: str) -> str | None:
    return None if value == "_" else value


def _entities(tree: Tree) -> Labels:
    """Return the entity labels of the MISC column."""
    labels: list[str | None] = []
    for item in tree.misc:
        pairs = (pair.partition("=") for pair in item.split("|"))
        labels.append(next((value for key, _, value in pairs if key == "NER"), None))
    return tuple(labels)
