"""Strict reader of CoNLL-U treebanks and other files in that form.

In: ten tab-separated columns (ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC), a blank line
after each sentence; format: universaldependencies.org/format.html. Out: `Tree`, whose words tile
its text. Empty nodes (8.1) are left out. A multiword range (3-4) whose words spell it is ignored;
otherwise its words become one word: the range's form with the labels of its head word.

Example: ``for tree in read_conllu(Path("zh_gsdsimp-ud-dev.conllu.xz")): print(tree.forms)``
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hanmo.annotate._blocks import Block, document_id, parse_blocks, read_blocks
from hanmo.annotate.sentence import locate_words
from hanmo.core.errors import UserError

N_COLUMNS = 10
ID, FORM, UPOS, XPOS, HEAD, DEPREL, MISC = 0, 1, 3, 4, 6, 7, 9


@dataclass(frozen=True, slots=True)
class Tree:
    """One sentence of a treebank; all tuples have one item per word.

    Attributes:
        forms: The words.
        upos: Universal parts of speech; "_" where the file gives none.
        xpos: Language-specific parts of speech; "_" where the file gives none.
        heads: Number of the head word from 1, 0 for the root; None when the file gives no heads.
        deprels: Relations to the head; "_" where the file gives none.
        misc: The MISC column.
        text: The sentence.
        sent_id: ``# sent_id``, or "".
        document: Id of the document that begins with this sentence, or None.
        where: ``file:line`` of the sentence.
    """

    forms: tuple[str, ...]
    upos: tuple[str, ...]
    xpos: tuple[str, ...]
    heads: tuple[int, ...] | None
    deprels: tuple[str, ...]
    misc: tuple[str, ...]
    text: str
    sent_id: str = ""
    document: str | None = None
    where: str = ""


Rows = list[tuple[int, list[str]]]
_SOURCE = "hanmo source"  # comment that keeps file:line of a tree written by `format_tree`


def read_conllu(path: Path) -> Iterator[Tree]:
    """Yield the trees of a file.

    Raises:
        UserError: Wrong column count or word numbers, a head that is no integer or not in the
            sentence, no root or several, a cycle, words that do not follow ``# text``, a cut
            file, an empty file. The message names file and line.
    """
    for block in read_blocks(path, N_COLUMNS):
        yield _tree(block)


def parse_tree(text: str) -> Tree:
    """Read one sentence as `format_tree` writes it."""
    lines = enumerate([*text.split("\n"), ""], 1)
    [block] = parse_blocks(lines, "text", N_COLUMNS)
    return _tree(block)


def format_tree(tree: Tree) -> str:
    """Write one sentence in CoNLL-U, without its final blank line."""
    lines = [f"# {_SOURCE} = {tree.where}"] if tree.where else []
    lines += [f"# sent_id = {tree.sent_id}"] if tree.sent_id else []
    lines.append(f"# text = {tree.text}")
    for i, form in enumerate(tree.forms):
        head = "_" if tree.heads is None else str(tree.heads[i])
        tags = ("_", tree.upos[i], tree.xpos[i], "_", head, tree.deprels[i], "_", tree.misc[i])
        lines.append("\t".join((str(i + 1), form, *tags)))
    return "\n".join(lines)


def _tree(block: Block) -> Tree:
    words, ranges = _split_rows(block)
    heads = _heads(block, words)
    if ranges:
        words, heads = _merge_ranges(block, words, heads, ranges)
    forms, upos, xpos, deprels, misc = (
        tuple(columns[i] for _, columns in words) for i in (FORM, UPOS, XPOS, DEPREL, MISC)
    )
    text = block.comments.get("text") or join_forms(forms, misc)
    locate_words(text, forms, block.where())
    return Tree(
        forms=forms,
        upos=upos,
        xpos=xpos,
        heads=heads,
        deprels=deprels,
        misc=misc,
        text=text,
        sent_id=block.comments.get("sent_id", ""),
        document=document_id(block.comments),
        where=block.comments.get(_SOURCE, block.where()),
    )


def join_forms(forms: Sequence[str], misc: Sequence[str] = ()) -> str:
    """Spell the sentence.

    Where MISC says ``SpaceAfter=No`` for some word, the other words are followed by a space. Where
    it never does, a space stands only between two words that are both written in ASCII letters or
    digits at the place where they meet (the way of Chinese text).
    """
    marked = any("SpaceAfter=" in item for item in misc)
    text = ""
    for index, form in enumerate(forms):
        text += form
        if index + 1 == len(forms):
            break
        following = forms[index + 1]
        if marked:
            spaced = "SpaceAfter=No" not in misc[index].split("|")
        else:
            spaced = (form[-1:] + following[:1]).isalnum() and (form[-1:] + following[:1]).isascii()
        text += " " if spaced else ""
    return text


def _split_rows(block: Block) -> tuple[Rows, list[tuple[int, int, list[str]]]]:
    """Separate words from multiword ranges; check the numbers."""
    words: Rows = []
    ranges: list[tuple[int, int, list[str]]] = []
    for line, columns in block.rows:
        number = columns[ID]
        expected = len(words) + 1
        if not columns[FORM]:
            raise UserError(f"{block.where(line)}: empty FORM — expected a word")
        if number == str(expected):
            words.append((line, columns))
        elif "-" in number:
            first, _, last = number.partition("-")
            if first != str(expected) or not last.isdecimal() or int(last) <= expected:
                raise UserError(f"{block.where(line)}: range {number!r} — expected {expected}-…")
            ranges.append((expected, int(last), columns))
        elif not number.startswith(f"{expected - 1}."):
            raise UserError(f"{block.where(line)}: word number {number!r} — expected {expected}")
    if not words or (ranges and ranges[-1][1] > len(words)):
        raise UserError(f"{block.where()}: the sentence ends before its last word — file damaged?")
    return words, ranges


def _heads(block: Block, words: Rows) -> tuple[int, ...] | None:
    """Read the HEAD column and check that it is a tree; None when every head is "_"."""
    if all(columns[HEAD] == "_" for _, columns in words):
        return None
    heads: list[int] = []
    for line, columns in words:
        head = columns[HEAD]
        if not (head.isascii() and head.isdecimal()):
            raise UserError(f"{block.where(line)}: head {head!r} — expected an integer")
        if int(head) > len(words):
            raise UserError(
                f"{block.where(line)}: head {head} is out of range — the sentence has {len(words)} "
                f"words"
            )
        heads.append(int(head))
    if heads.count(0) != 1:
        raise UserError(f"{block.where()}: {heads.count(0)} words with head 0 — expected one root")
    stray = find_cycle(heads)
    if stray is not None:
        raise UserError(
            f"{block.where(words[stray][0])}: word {stray + 1} is in a cycle of heads — "
            f"every word must lead to the root"
        )
    return tuple(heads)


def find_cycle(heads: Sequence[int]) -> int | None:
    """Return the position of a word on a cycle of heads (numbered from 1, 0 = root), or None."""
    state = [0] * len(heads)  # 0 not seen, 1 on the present path, 2 known to reach the root
    for start in range(len(heads)):
        path: list[int] = []
        node = start
        while node >= 0 and state[node] == 0:
            state[node] = 1
            path.append(node)
            node = heads[node] - 1
        if node >= 0 and state[node] == 1:
            return node
        for seen in path:
            state[seen] = 2
    return None


def _merge_ranges(
    block: Block,
    words: Rows,
    heads: tuple[int, ...] | None,
    ranges: list[tuple[int, int, list[str]]],
) -> tuple[Rows, tuple[int, ...] | None]:
    """Make one word of each range that its words do not spell; take over SpaceAfter otherwise."""
    place = list(range(len(words)))  # old position -> new position
    merged: Rows = []
    new_heads: list[int] = []
    position = 0
    spans = {first - 1: (last, columns) for first, last, columns in ranges}
    while position < len(words):
        last, outer = spans.get(position, (position + 1, None))
        inner = range(position, last)
        line, columns = words[position]
        if outer is None or "".join(words[i][1][FORM] for i in inner) == outer[FORM]:
            for i in inner:
                place[i] = len(merged)
                merged.append((words[i][0], _spaced(words[i][1], outer, is_last=i + 1 == last)))
                new_heads.append(heads[i] if heads else 0)
        else:
            top = next((i for i in inner if heads and heads[i] - 1 not in inner), position)
            line, columns = words[top]
            for i in inner:
                place[i] = len(merged)
            columns = [*columns[:FORM], outer[FORM], *columns[FORM + 1 : MISC], outer[MISC]]
            merged.append((line, columns))
            new_heads.append(heads[top] if heads else 0)
        position = last
    if heads is None:
        return merged, None
    tree = tuple(0 if head == 0 else place[head - 1] + 1 for head in new_heads)
    if find_cycle(tree) is not None:
        raise UserError(f"{block.where()}: a multiword range cannot become one word of the tree")
    return merged, tree


def _spaced(columns: list[str], outer: list[str] | None, *, is_last: bool) -> list[str]:
    """Give a word inside a range the white space that the range's row states."""
    if outer is None:
        return columns
    space = outer[MISC] if is_last else "SpaceAfter=No"
    return [*columns[:MISC], space]
