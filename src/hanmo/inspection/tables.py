"""Statistics, documents and examples as the lines of a terminal.

In: what `counting`, `folders` and `masked` found. Out: printed lines, which `terminal.painted`
colours.

    painted(statistics(tally, read, manifest_counts))
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hanmo.inspection.counting import Read
from hanmo.inspection.folders import Document
from hanmo.inspection.lines import is_unseen, visible
from hanmo.inspection.masked import STATES, Example
from hanmo.inspection.tally import Tally, code_point, listed, name_of, never
from hanmo.inspection.terminal import MISSING, Printed, interlinear

_BAR = 30  # columns of the longest bar
_UNKNOWN = 20  # unknown characters listed
_MARGIN = 6  # columns before a sentence, with its number
_FAR = 8  # lengths that differ by less than this factor have bins of one width
_BINS = 12  # rows of a distribution at most
ANSWERS = {  # question about a pair → what its answers mean, as data/pairing.py has them
    "nsp": {0: "B follows A", 1: "B is a random other text", -1: "nothing is asked"},
    "sop": {0: "in their order", 1: "swapped", -1: "nothing is asked"},
}
LEGEND = "M masked   R replaced by another piece   K kept as it is"


def document_lines(document: Document, columns: int) -> list[Printed]:
    """Print a document: its sentences, numbered, with their labels."""
    n, begin = document.n_sentences, document.begin
    made: list[Printed] = [
        [(f"document {visible(document.name)}", "title"), (f"  {n:,} sentences", "faint")]
    ]
    rows = next((line.rows for line in document.lines if line.rows), ())
    if rows:
        made.append([(f"  under the words: {', '.join(rows)}; {MISSING} not known", "faint")])
    if begin:
        made.append([(f"  … {begin:,} sentences before", "faint")])
    for number, line in enumerate(document.lines, start=begin):
        rows_of = interlinear(line, columns=columns, indent=" " * _MARGIN)
        if rows_of:
            rows_of[0][0] = (f"{number:>{_MARGIN - 2}}  ", "faint")
        made += rows_of
    left = n - begin - len(document.lines)
    if left > 0:
        made.append([(f"  … {left:,} more sentences", "faint")])
    return [*made, []]


def example_lines(
    example: Example, columns: int, *, objective: str, seed: int, partner: str
) -> list[Printed]:
    """Print a masked sequence: what the model sees, what was done, what is to be predicted."""
    states = [cell.style for cell in example.line.cells if cell.under]
    counted = ", ".join(f"{states.count(state)} {state}" for state in STATES)
    made: list[Printed] = [
        [
            (f"sequence {example.index:,} as {objective} makes it", "title"),
            (f"  seed {seed}, epoch {example.epoch}", "faint"),
        ],
        [(f"  {len(example.line.cells)} pieces, {len(states)} chosen: {counted}", "faint")],
        [(f"  under the chosen: {', '.join(example.line.rows)}; {LEGEND}", "faint")],
        *interlinear(example.line, columns=columns),
    ]
    if example.answer is not None:
        made.append([(f"  {partner}: {ANSWERS[partner][example.answer]}", "")])
    if example.counts:
        said = ", ".join(f"{name} {n}" for name, n in example.counts.items())
        made.append([(f"  {said}", "faint")])
    return [*made, []]


def masking_lines(counts: Mapping[str, int], objective: str) -> list[Printed]:
    """Print what an objective does to a sample of sequences."""
    chosen, pieces = counts["chosen"], max(1, counts["pieces"])
    shares = ", ".join(f"{name} {counts[name] / max(1, chosen):.1%}" for name in STATES)
    made: list[Printed] = [
        [(f"what {objective} does", "title"), (f"  {counts['sequences']:,} sequences", "faint")],
        [(f"  chosen {chosen / pieces:.2%} of {pieces:,} pieces; of these {shares}", "")],
    ]
    known = {"sequences", "pieces", "chosen", *STATES}
    made += [[(f"  {name}  {n:,}", "")] for name, n in counts.items() if name not in known]
    return [*made, []]


def statistics_lines(
    tally: Tally, read: Read, stage: Mapping[str, int | float], *, unknown: bool = True
) -> list[Printed]:
    """Print statistics.

    Args:
        tally: What was counted.
        read: Of how much.
        stage: What the stage counted that made the folder, always of all of it.
        unknown: List the characters that became [UNK].
    """
    made: list[Printed] = [[("statistics", "title"), (f"  {said(read)}", "faint")]]
    made += _numbers(tally.counts)
    made += _rates(tally)
    made += [[(f"  {note}", "faint")] for note in tally.notes]
    made += [[], [("counted when the folder was made, all of it", "title")], *_numbers(stage)]
    for layer, seen in tally.labels.items():
        made += [[], *_label_lines(layer, seen, tally.missing[layer])]
    for name, lengths in tally.lengths.items():
        if lengths.n:
            made += [[], *_length_lines(name, lengths.to_json(), tally.unit)]
    if unknown and tally.unknown:
        made += [[], *_unknown_lines(tally)]
    return [*made, []]


def said(read: Read) -> str:
    """Say how much was read."""
    if read.read == read.of:
        return f"of everything ({read.units}: {read.of:,})"
    return (
        f"of {read.read:,} of {read.of:,} {read.units}, {read.share:.1%} of the text, evenly "
        "drawn; --all reads everything"
    )


def _numbers(counts: Mapping[str, int | float]) -> list[Printed]:
    size = max(map(len, counts), default=0)
    return [[(f"  {name:<{size}}  {n:>14,}", "")] for name, n in counts.items()]


def _rates(tally: Tally) -> list[Printed]:
    pieces = tally.counts["pieces"]
    if not pieces:
        return []
    unknown, continued = tally.counts["unknown_pieces"], tally.counts["continued_pieces"]
    return [
        [(f"  [UNK] {unknown / pieces:.3%} of the pieces, ##… {continued / pieces:.3%}", "")],
    ]


def _label_lines(layer: str, seen: Mapping[str, int], missing: int) -> list[Printed]:
    total = max(1, sum(seen.values()))
    rows = listed(layer, seen)
    most = max((n for _, n in rows), default=0)
    size = max(len(label) for label, _ in rows)
    made: list[Printed] = [
        [(layer, "title"), ("  in the order of LERT's list", "faint")],
    ]
    for number, (label, n) in enumerate(rows, start=1):
        row: Printed = [(f"  {number:>2} {label:<{size}}  {n:>12,} {n / total:>8.3%}  ", "")]
        row.append((_bar(n, most), "bar") if n else ("never seen", "flag"))
        made.append(row)
    unseen = len(never(layer, seen))
    made.append([(f"  never seen: {unseen} of {len(rows)}; words without: {missing:,}", "faint")])
    return made


def _length_lines(name: str, facts: Mapping[str, object], unit: str) -> list[Printed]:
    shown = "  ".join(f"{key} {facts[key]:,}" for key in ("median", "p90", "p99", "max"))
    made: list[Printed] = [
        [(f"length of a {name} in {unit}", "title"), (f"  mean {facts['mean']:,.2f}  {shown}", "")]
    ]
    counts = facts["counts"]
    assert isinstance(counts, Mapping)
    bins = binned({int(value): n for value, n in counts.items()}, _BINS)
    total, most = sum(n for *_, n in bins), max(n for *_, n in bins)
    for low, high, n in bins:
        label = f"{low:,}" if low == high else f"{low:,}–{high:,}"
        made.append([(f"  {label:>17}  {n / total:>7.2%}  ", ""), (_bar(n, most), "bar")])
    return made


def binned(counts: Mapping[int, int], n_bins: int) -> list[tuple[int, int, int]]:
    """Put lengths together: one by one while they are few, else by bounds that grow.

    Returns:
        (least, greatest, how many) of each bin; empty bins between others are there too.
    """
    least, end = min(counts), max(counts) + 1
    if end - least <= n_bins:
        bounds = list(range(least, end + 1))
    elif end < _FAR * max(least, 1):
        bounds = [least + round((end - least) * i / n_bins) for i in range(n_bins + 1)]
    else:
        begin = max(least, 1)
        steps = (round(begin * (end / begin) ** (i / n_bins)) for i in range(1, n_bins + 1))
        bounds = sorted({least, *steps})
    return [
        (low, stop - 1, sum(n for value, n in counts.items() if low <= value < stop))
        for low, stop in pairwise(bounds)
    ]


def _bar(n: int, most: int) -> str:
    return "█" * max(1, round(_BAR * n / most)) if n else ""


def unknown_rows(tally: Tally, n: int = _UNKNOWN) -> list[tuple[str, str, str, int]]:
    """Return the characters that most often became [UNK]: shown, code point, name, pieces."""
    return [
        ("" if not c or is_unseen(c) else c, code_point(c), name_of(c), times)
        for c, times in tally.unknown.most_common(n)
    ]


def _unknown_lines(tally: Tally) -> list[Printed]:
    rows: Sequence[tuple[str, str, str, int]] = unknown_rows(tally)
    made: list[Printed] = [
        [
            ("characters that became [UNK]", "title"),
            (f"  {len(tally.unknown):,} different ones, the most frequent first", "faint"),
        ]
    ]
    for shown, point, name, n in rows:
        made.append([(f"  {n:>10,}  {point:<8} ", ""), (shown, "unknown"), (f" {name}", "faint")])
    return made
