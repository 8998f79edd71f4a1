"""Statistics, documents and examples as one HTML page that needs nothing from elsewhere.

In: what `counting`, `folders` and `masked` found, and charts as `<svg>` elements. Out: the page.
Texts stand in it character by character, blanks included; only what cannot be seen is written as
its code point.

    page(title="work/sentences", sections=[documents_html(found)])
"""

from collections.abc import Mapping, Sequence
from html import escape

from hanmo.inspection.counting import Read
from hanmo.inspection.folders import Document
from hanmo.inspection.lines import Line, visible
from hanmo.inspection.masked import STATES, Example
from hanmo.inspection.tables import ANSWERS, LEGEND, said, unknown_rows
from hanmo.inspection.tally import Tally, listed, never
from hanmo.inspection.terminal import MISSING

# Written into the head, so that a later page knows its own kind.
MARK = '<meta name="generator" content="hanmo inspect">'
_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif;
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem;
  border-bottom: 1px solid #ddd; } h3 { font-size: 1rem; margin-bottom: .3rem; }
svg { width: 100%; height: auto; max-width: 60rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .1rem .8rem .1rem 0; text-align: right; } td:first-child, th:first-child,
td.l, th.l { text-align: left; }
.faint { color: #6b6b6b; } .never { color: #b34700; font-weight: 600; }
.columns { display: flex; flex-wrap: wrap; gap: 2.5rem; align-items: flex-start; }
.line { margin: .6rem 0 1rem; line-height: 1.25; }
.c { display: inline-block; vertical-align: top; text-align: center; margin: 0 .18em .5em;
  white-space: pre-wrap; }
.c.j { margin-left: -.3em; } .c i { display: block; font: 11px/1.25 ui-monospace, monospace; }
.gap { background: #eee; } .plain { display: inline; white-space: pre-wrap; }
.row0 { color: #0072b2; } .row1 { color: #a0457c; } .row2 { color: #00694c; }
.row3 { color: #8a5a00; } .none { color: #999; }
.special { color: #777; } .unknown b { color: #c00000; }
.masked b { background: #cfe4f5; } .replaced b { background: #f7d3c0; }
.kept b { background: #c9ead9; } .c b { font-weight: inherit; padding: 0 .1em; }
"""


def page(*, title: str, sections: Sequence[str]) -> str:
    """Put sections together."""
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="zh">\n<head>\n<meta charset="utf-8">',
            MARK,
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>{_text(title)}</h1>",
            *sections,
            "</body>\n</html>\n",
        )
    )


def statistics_html(
    tally: Tally, read: Read, stage: Mapping[str, int | float], charts: Mapping[str, str]
) -> str:
    """Write statistics, with the chart of each layer and of each length beside its numbers."""
    parts = [f'<h2>Statistics</h2>\n<p class="faint">{_text(said(read))}</p>']
    rates = {}
    pieces = tally.counts["pieces"]
    if pieces:
        rates = {
            "[UNK], share of pieces": f"{tally.counts['unknown_pieces'] / pieces:.3%}",
            "##…, share of pieces": f"{tally.counts['continued_pieces'] / pieces:.3%}",
        }
    counted = {name: f"{n:,}" for name, n in tally.counts.items()} | rates
    whole = {name: f"{n:,}" for name, n in stage.items()}
    parts.append('<div class="columns">')
    parts.append(f"<div><h3>Counted now</h3>{_pairs(counted)}</div>")
    parts.append(f"<div><h3>Counted when it was made, all of it</h3>{_pairs(whole)}</div></div>")
    parts += [f'<p class="faint">{_text(note)}</p>' for note in tally.notes]
    for layer, seen in tally.labels.items():
        parts.append(_labels(layer, seen, tally.missing[layer], charts.get(layer, "")))
    for name, lengths in tally.lengths.items():
        if lengths.n:
            facts = lengths.to_json()
            numbers = ", ".join(f"{key} {facts[key]:,}" for key in ("median", "p90", "p99", "max"))
            parts.append(
                f"<h2>Length of a {name} in {tally.unit}</h2>"
                f"<p>mean {facts['mean']:,.2f}, {numbers}</p>{charts.get(name, '')}"
            )
    if tally.unknown:
        parts.append(_unknown(tally))
    return "\n".join(parts)


def documents_html(documents: Sequence[Document]) -> str:
    """Write documents with their words and labels."""
    parts = ["<h2>Documents</h2>"]
    for document in documents:
        left = document.n_sentences - len(document.lines)
        more = f", {left:,} of them not shown" if left else ""
        rows = next((line.rows for line in document.lines if line.rows), ())
        under = f"; under the words: {', '.join(rows)}" if rows else ""
        parts.append(
            f"<h3>{_text(document.name)}</h3>"
            f'<p class="faint">{document.n_sentences:,} sentences{more}{under}</p>'
        )
        parts += [f'<div class="line">{line_html(line)}</div>' for line in document.lines]
    return "\n".join(parts)


def example_html(
    example: Example, counts: Mapping[str, int], *, objective: str, seed: int, partner: str
) -> str:
    """Write a masked sequence, and what the objective does to a sample of them."""
    answer = ""
    if example.answer is not None:
        answer = f"<p>{partner}: {ANSWERS[partner][example.answer]}</p>"
    chosen = max(1, counts["chosen"])
    shares = ", ".join(f"{name} {counts[name] / chosen:.1%}" for name in STATES)
    other = "".join(
        f"; {_text(name)} {n:,}"
        for name, n in counts.items()
        if name not in {"sequences", "pieces", "chosen", *STATES}
    )
    return (
        f"<h2>Sequence {example.index:,} as {_text(objective)} makes it</h2>"
        f'<p class="faint">seed {seed}, epoch {example.epoch}; under the chosen pieces: '
        f"{_text(', '.join(example.line.rows))}; {LEGEND}</p>"
        f'<div class="line">{line_html(example.line)}</div>{answer}'
        f'<p class="faint">Of {counts["pieces"]:,} pieces of {counts["sequences"]:,} sequences '
        f"{chosen / max(1, counts['pieces']):.2%} are chosen; of these {shares}{other}.</p>"
    )


def line_html(line: Line) -> str:
    """Write a line; the texts of its `b` elements are the line's text."""
    parts = []
    for cell in line.cells:
        labels = "".join(
            f'<i class="{_label_class(row, label)}">{_text(label or MISSING)}</i>'
            for row, label in enumerate(cell.under)
        )
        joined = " j" if cell.joined else ""
        parts.append(
            f'<span class="c {cell.style}{joined}"><b>{_text(cell.text)}</b>{labels}</span>'
        )
    return "".join(parts)


def _label_class(row: int, label: str | None) -> str:
    return "none" if label in (None, "O") else f"row{row % 4}"


def _labels(layer: str, seen: Mapping[str, int], missing: int, chart: str) -> str:
    total = max(1, sum(seen.values()))
    rows = "".join(
        f"<tr><td>{number}</td><td class=l>{_text(label)}</td><td>{n:,}</td>"
        + (f"<td>{n / total:.3%}</td></tr>" if n else '<td class="never">never seen</td></tr>')
        for number, (label, n) in enumerate(listed(layer, seen), start=1)
    )
    unseen = ", ".join(never(layer, seen)) or "none"
    return (
        f"<h2>{_text(layer)}</h2>{chart}"
        f'<p>Never seen: <span class="never">{_text(unseen)}</span>; '
        f"words without a label: {missing:,}.</p>"
        "<details><summary>in the order of LERT's list</summary><table><tr><th></th>"
        f"<th class=l>label</th><th>words</th><th>share</th></tr>{rows}</table></details>"
    )


def _unknown(tally: Tally) -> str:
    rows = "".join(
        f"<tr><td>{_text(shown)}</td><td class=l>{point}</td><td class=l>{_text(name)}</td>"
        f"<td>{n:,}</td></tr>"
        for shown, point, name, n in unknown_rows(tally)
    )
    return (
        f"<h2>Characters that became [UNK]</h2><p>{len(tally.unknown):,} different ones</p>"
        "<table><tr><th>character</th><th class=l>code point</th><th class=l>name</th>"
        f"<th>pieces</th></tr>{rows}</table>"
    )


def _pairs(values: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><td>{_text(name)}</td><td>{n}</td></tr>" for name, n in values.items())
    return f"<table>{rows}</table>"


def _text(text: str) -> str:
    return escape(visible(text))
