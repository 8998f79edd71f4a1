"""What `hanmo inspect` composes: one look at a folder, shown as text, JSON or HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from hanmo.annotate.tagsets import TAGSETS
from hanmo.core.artifact import Manifest
from hanmo.core.errors import UserError
from hanmo.data.encode import encode_documents
from hanmo.data.shard_file import Legend
from hanmo.data.shards import KIND as SHARDS
from hanmo.data.shards import ShardSet
from hanmo.inspection import page, tables, terminal
from hanmo.inspection.counting import Read, count
from hanmo.inspection.folders import Choice, Document, documents
from hanmo.inspection.masked import Example, Settings, View
from hanmo.inspection.shard_documents import Located, shard_documents
from hanmo.inspection.tally import Tally, listed
from hanmo.objectives._objective import Corruptor, Vocabulary
from hanmo.report.bars import bars_svg
from hanmo.text.tokenizer import Tokenizer

# `inspect.Config`; importing it here would be a cycle.
Options: TypeAlias = Any

_BINS = 24  # bars of a distribution
_MOST = 90  # percent of words; a chart leaves out a label of more


@dataclass(frozen=True, slots=True)
class Masked:
    """Masked sequences, and what the objective does to a sample of them."""

    examples: Sequence[Example]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be shown; None for what was not asked for, or cannot be."""

    documents: Sequence[Document] | None
    masked: Masked | None
    counted: tuple[Tally, Read] | None


def look(config: Options, manifest: Manifest) -> Found:
    """Read what is to be shown.

    Raises:
        UserError: a document or sequence that is not there, or labels that the objective lacks.
    """
    wanted = config.show or ("documents", "masked", "statistics")
    choice = Choice(tuple(config.document), config.find, config.first, config.sentences)
    vocab = config.folder if manifest.kind == SHARDS else config.vocab
    tokenizer = None if vocab is None else Tokenizer.load(vocab)
    shown: list[Document] = []
    masked = None
    if manifest.kind == SHARDS:
        assert tokenizer is not None
        shards = ShardSet.open(config.folder, verify=False)
        located = shard_documents(shards, tokenizer, choice)
        shown = [one.document for one in located]
        if "masked" in wanted:
            masked = _masked(config, shards, tokenizer, located)
    elif "documents" in wanted or "masked" in wanted:
        shown = documents(config.folder, choice)
        rows = [(one.name, row) for one in shown for row in one.rows]
        if "masked" in wanted and tokenizer is not None and rows:
            part, _ = encode_documents(rows, tokenizer)
            layers = {name: TAGSETS[name] for name in part.layers}
            legend = Legend(layers, _specials(tokenizer), tokenizer.size, "")
            shards = ShardSet(config.folder, (part,), legend)
            masked = _masked(config, shards, tokenizer, [])
    counted = None
    if "statistics" in wanted:
        by_text = None if manifest.kind == SHARDS else tokenizer
        counted = count(config.folder, everything=config.all, tokenizer=by_text)
    return Found(shown if "documents" in wanted else None, masked, counted)


def _specials(tokenizer: Tokenizer) -> dict[str, int]:
    names = ("pad", "unk", "cls", "sep", "mask")
    return {name: getattr(tokenizer, f"{name}_id") for name in names}


def _masked(
    config: Options, shards: ShardSet, tokenizer: Tokenizer, located: Sequence[Located]
) -> Masked:
    """Mask one sequence that was asked for, or those that hold what is shown of documents."""
    corruptor = Corruptor(config.objective, config.options, Vocabulary.of(tokenizer))
    lacking = [layer for layer in corruptor.layers if layer not in shards.layers]
    if lacking:
        raise UserError(
            f"{config.folder}: lacks the layers {', '.join(lacking)} that objective "
            f"{config.objective!r} needs (it has: {', '.join(shards.layers) or 'none'})"
        )
    settings = Settings(
        config.max_length,
        config.partner,
        config.short_sequence_rate,
        config.dupe_factor,
        config.seed,
    )
    last = max((one.shard for one in located), default=0) if config.sequence is None else None
    view = View(shards, tokenizer, corruptor, settings, last_shard=last)
    if config.sequence is not None:
        indices = [config.sequence]
    else:
        places = [(one.shard, one.piece) for one in located] or [(0, 0)]
        indices = list(dict.fromkeys(view.index_of(*place) for place in places))
    examples = [view.example(index, epoch=config.epoch) for index in indices]
    return Masked(examples, view.counts(epoch=config.epoch))


def text_of(config: Options, manifest: Manifest, found: Found) -> str:
    """Show it on a terminal."""
    columns = terminal.width()
    lines: list[terminal.Printed] = []
    for document in found.documents or ():
        lines += tables.document_lines(document, columns)
    if found.masked is not None:
        for example in found.masked.examples:
            lines += tables.example_lines(
                example,
                columns,
                objective=config.objective,
                seed=config.seed,
                partner=config.partner,
            )
        lines += tables.masking_lines(found.masked.counts, config.objective)
        if manifest.kind != SHARDS:
            lines[-1:] = [
                [("  of the sentences shown alone; encode them to see training", "faint")],
                [],
            ]
    if found.counted is not None:
        lines += tables.statistics_lines(*found.counted, manifest.counts)
    return terminal.painted(lines)


def json_of(config: Options, manifest: Manifest, found: Found) -> dict[str, Any]:
    """Show it to a program."""
    made: dict[str, Any] = {"folder": str(config.folder), "kind": manifest.kind}
    if found.documents is not None:
        made["documents"] = [document.to_json() for document in found.documents]
    if found.masked is not None:
        made["masked"] = {
            "objective": config.objective,
            "options": dict(config.options),
            "seed": config.seed,
            "partner": config.partner,
            "examples": [example.to_json() for example in found.masked.examples],
            "counts": dict(found.masked.counts),
        }
    if found.counted is not None:
        tally, read = found.counted
        made["statistics"] = {"read": asdict(read), **tally.to_json()}
    return made | {"stage_counts": dict(manifest.counts)}


def page_of(config: Options, manifest: Manifest, found: Found) -> str:
    """Show it as an HTML page."""
    sections = []
    if found.counted is not None:
        tally, read = found.counted
        sections.append(page.statistics_html(tally, read, manifest.counts, _charts(tally)))
    if found.documents:
        sections.append(page.documents_html(found.documents))
    if found.masked is not None:
        sections += [
            page.example_html(
                example,
                found.masked.counts,
                objective=config.objective,
                seed=config.seed,
                partner=config.partner,
            )
            for example in found.masked.examples
        ]
    return page.page(title=f"{config.folder} ({manifest.kind})", sections=sections)


def _charts(tally: Tally) -> dict[str, str]:
    charts = {}
    for layer, seen in tally.labels.items():
        total = max(1, sum(seen.values()))
        bars = [(label, 100 * n / total) for label, n in listed(layer, seen)]
        # A label of nearly all words (O, of words in no entity) would press the others flat.
        large = [f"{label} {share:.1f}%" for label, share in bars if share > _MOST]
        left_out = f"; left out: {', '.join(large)}" if large else ""
        charts[layer] = bars_svg(
            f"{layer}, in the order of LERT's list{left_out}",
            [bar for bar in bars if bar[1] <= _MOST],
            unit="% of words",
            key=layer,
            mark_none=True,
        )
    for name, lengths in tally.lengths.items():
        if lengths.n:
            bars = [
                (f"{low:,}" if low == high else f"{low:,}-{high:,}", 100 * n / lengths.n)
                for low, high, n in tables.binned(lengths.counts, _BINS)
            ]
            charts[name] = bars_svg(
                f"length of a {name} in {tally.unit}", bars, unit=f"% of {name}s", key=name
            )
    return charts
