r"""The tables as LaTeX: a booktabs `tabular` a task, to paste into a paper's `table`.

In: tables. Out: text that needs `\usepackage{booktabs}`; the best mean of our models is bold, as
printed, in every column and metric, when two or more of ours have one. Chinese names need an engine
with a Chinese font (xelatex, lualatex).

    latex(made)
"""

from collections.abc import Sequence

from hanmo.report.markdown import seed_words
from hanmo.report.table import Cell, Row, Table, metric_name

TITLE = "% Scores, made by hanmo report"  # first line
_EXPLANATION = (
    "% Needs \\usepackage{booktabs}. Percent: max (mean) +- sample standard deviation over seeds;",
    "% bold: the best mean of our models.",
)
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "←": r"$\leftarrow$",
    "±": r"$\pm$",
    **{one: f"\\{one}" for one in "&%$#_{}"},
}
_MARK = " (← best on dev)"


def latex(made: Sequence[Table]) -> str:
    """Write the tables as LaTeX."""
    lines = [TITLE, *_EXPLANATION]
    for table in made:
        lines += ["", f"% {' '.join(table.title.split())}", *_tabular(table)]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    r"""Return a text with what LaTeX reads as commands made harmless: `50%_a` → `50\%\_a`."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))


def _tabular(table: Table) -> list[str]:
    metrics = " / ".join(map(metric_name, table.metrics))
    splits = [f"{split}, {metrics}" for split in table.splits]
    heading = ["Model", "Size", *splits, "Seeds", "Source"]
    columns = "l" * (2 + len(splits)) + "rl"
    lines = [
        f"\\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line([escaped(word) for word in heading]),
    ]
    for rows in (table.own, table.published):
        if rows:
            lines.append(r"\midrule")
        lines += [_row(row, table) for row in rows]
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _line(words: Sequence[str]) -> str:
    return " & ".join(words) + r" \\"


def _row(row: Row, table: Table) -> str:
    name = escaped(row.model + (_MARK if row.chosen else ""))
    cells = [_cells(row, table, split) if split in row.cells else "--" for split in table.splits]
    seeds, _ = seed_words(row, table)
    return _line([name, row.size, *cells, escaped(seeds), escaped(row.source)])


def _cells(row: Row, table: Table, split: str) -> str:
    cells = row.cells[split]
    return " / ".join(
        _cell(cells.get(metric), _best(table, split, metric) if row.runs else "")
        for metric in table.metrics
    )


def _best(table: Table, split: str, metric: str) -> str:
    """Return the best mean of ours as printed, or an empty text where fewer than two have one."""
    means = [mean for row in table.own if (mean := row.mean(split, metric)) is not None]
    return f"{max(means):.1f}" if len(means) > 1 else ""


def _cell(cell: Cell | None, best: str) -> str:
    if cell is None:
        return "--"
    text = escaped(str(cell))
    # Compared as printed: means that print alike are all bold.
    return text.replace(f"({best})", f"(\\textbf{{{best}}})") if best else text
