"""Look at a corpus, sentences or shards: documents, a masked example, statistics.

In: a finished folder. Out: documents with their words and labels; a training sequence with its
masks, as training with that seed sees it in that epoch; how often labels and lengths occur, and
what became [UNK]. Statistics are of parts that lie evenly in the folder, or of --all. Nothing is
written but the page of --html.

    hanmo inspect work/sentences --find 北京
    hanmo inspect work/shards --objective lert --max-length 128 --epoch 3
    hanmo inspect work/sentences --vocab work/vocab.txt --all --html look.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanmo.core.artifact import Manifest, read_manifest
from hanmo.core.errors import UserError, nearest
from hanmo.core.files import write_atomic
from hanmo.data.pairing import PARTNERS
from hanmo.data.shards import KIND as SHARDS

if TYPE_CHECKING:
    from hanmo.commands._inspecting import Found

PLUGIN = {"objective": ("hanmo.objectives", "Objective")}
SHOWN = ("documents", "masked", "statistics")
_KINDS = ("corpus", "sentences", SHARDS)


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo inspect`.

    Attributes:
        folder: Finished folder of a corpus, of sentences, or of shards.
        show: What to show: documents, masked (a masked example), statistics; by default all that
            there can be.
        document: Ids of documents; of shards, which keep no ids, numbers from 0.
        find: Documents that hold this text, from the sentence on that holds it.
        first: So many documents.
        sentences: Sentences shown of a document.
        vocab: For text: a vocab.txt, or a folder that holds one, to count pieces and to mask.
        all: Statistics of everything, not of a sample.
        html: Write all this to an HTML page, too, with plots.
        objective: Whose masks to show: an objective by name, a dotted module, or a .py file.
        sequence: Number of the training sequence to mask; by default the one that holds the first
            sentence shown.
        epoch: The epoch that sees the masks, from 0.
        seed: The seed of `hanmo pretrain` (its --data-seed, where given): sequences and masks.
        max_length: Longest sequence in pieces, as in `hanmo pretrain`.
        partner: Question about pairs of segments, as in `hanmo pretrain`: none, nsp or sop.
        short_sequence_rate: Share of shorter sequences, as in `hanmo pretrain`.
        dupe_factor: Static masks, as in `hanmo pretrain`.
        options: Options of the objective by name.
    """

    folder: Path = field(metadata={"positional": True})
    show: tuple[str, ...] = ()
    document: tuple[str, ...] = ()
    find: str | None = None
    first: int = 1
    sentences: int = 10
    vocab: Path | None = None
    all: bool = False
    html: Path | None = field(default=None, metadata={"output": True})
    objective: str = "mlm"
    sequence: int | None = None
    epoch: int = 0
    seed: int = 1
    max_length: int = 512
    partner: str = "none"
    short_sequence_rate: float = 0.0
    dupe_factor: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def run(config: Config) -> dict[str, Any]:
    """Look at the folder.

    Returns:
        "text" for people, "json" for --json.

    Raises:
        UserError: bad settings, another kind of folder, or a document that is not there.
    """
    manifest = read_manifest(config.folder, _KINDS)
    _check(config, manifest)
    from hanmo.commands import _inspecting as parts

    found = parts.look(config, manifest)
    text = parts.text_of(config, manifest, found)
    if config.html is not None:
        text += f"Written: {_write(config, config.html, manifest, found)}\n"
    return {"text": text, "json": parts.json_of(config, manifest, found)}


def _check(config: Config, manifest: Manifest) -> None:
    for name in config.show:
        if name not in SHOWN:
            raise UserError(f"--show: no {name!r}{nearest(name, SHOWN)}")
    for name in ("first", "sentences", "dupe_factor"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')}: got {value}; expected 1 or more")
    if config.epoch < 0:
        raise UserError(f"--epoch: got {config.epoch}; expected 0 or more")
    if not 0 <= config.seed < 2**63:
        raise UserError(f"--seed: got {config.seed}; expected 0 to 2^63 - 1")
    if config.partner not in PARTNERS:
        raise UserError(f"--partner: no {config.partner!r}{nearest(config.partner, PARTNERS)}")
    if config.document and config.find is not None:
        raise UserError("--find: searches all documents; leave --document out")
    _check_kind(config, manifest)
    if config.html is not None:
        _refuse_other(config.html)


def _check_kind(config: Config, manifest: Manifest) -> None:
    """Refuse what this kind of folder does not have."""
    of_shards = manifest.kind == SHARDS
    if of_shards and config.vocab is not None:
        raise UserError(f"--vocab: {config.folder} are shards, which have theirs")
    if config.sequence is not None and not of_shards:
        raise UserError(f"--sequence: {config.folder} are no shards; encode them first")
    if "masked" in config.show and not of_shards:
        if manifest.kind == _KINDS[0]:
            raise UserError(f"--show masked: {config.folder} is a corpus; annotate and encode it")
        if config.vocab is None:
            raise UserError("--show masked: sentences have no pieces; pass --vocab too")


def _refuse_other(path: Path) -> None:
    from hanmo.inspection.page import MARK

    if path.is_dir():
        raise UserError(f"--html {path}: is a folder; expected a file to write")
    if path.exists() and MARK.encode() not in path.read_bytes()[:1024]:
        raise UserError(f"--html {path}: exists and is no page of hanmo inspect; choose another")


def _write(config: Config, path: Path, manifest: Manifest, found: "Found") -> Path:
    from hanmo.commands import _inspecting as parts

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, parts.page_of(config, manifest, found))
    return path
