"""Put the scores of runs into tables: max (mean) over seeds, beside the published numbers.

In: folders with runs below. Out: table.md, table.csv, table.tex and spread.png, and the table on
the console; --json gives every row. Our models are compared with each other by a paired bootstrap.
Unfinished, failed and missing runs are counted, never averaged.

    hanmo report work/runs
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic
from hanmo.report import latex, markdown, records
from hanmo.report.own_files import PNG_HEAD, refuse_other
from hanmo.report.runs import collect
from hanmo.report.significance import compare
from hanmo.report.spread import MARK, spread_png
from hanmo.report.table import tables

_TABLE = "table"  # name of the files without --out
_MAKER = "hanmo report"


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo report`.

    Attributes:
        runs: Folders with runs below, such as the --out of `hanmo evaluate`.
        out: Markdown file to write, with a .csv, a .tex and a picture beside it; default: table.md
            in the first folder.
        published: Add published results of the same tasks; false leaves them out.
        sizes: Published results of which models: of the size classes of ours (same), or all.
        overwrite: Replace files that are not hanmo's.
    """

    runs: list[Path] = field(metadata={"positional": True})
    out: Path | None = field(default=None, metadata={"output": True})
    published: bool = True
    sizes: Literal["same", "all"] = "same"
    overwrite: bool = False


def run(config: Config) -> dict[str, Any]:
    """Write the tables and the picture.

    Returns:
        "text": the Markdown and the names of the files; "out", "files"; "rows", "significance",
        "warnings"; and the counts "runs", "failed", "unfinished", "missing".

    Raises:
        UserError: no run is there, one is damaged, or `out` is another file.
    """
    collected = collect(config.runs)
    if not collected.runs:
        absent = len(collected.failed) + len(collected.unfinished) + len(collected.missing)
        raise UserError(
            f"{', '.join(map(str, config.runs))}: no finished run below ({absent} failed, "
            "unfinished or missing); expected a folder made by hanmo finetune or hanmo evaluate"
        )
    out = config.out or config.runs[0] / f"{_TABLE}.md"
    if out.suffix in (".csv", ".tex", ".png"):
        raise UserError(
            f"--out {out}: names the Markdown file; expected for example {out.with_suffix('.md')} "
            f"(the {out.suffix} is written beside it)"
        )
    table, tex = out.with_suffix(".csv"), out.with_suffix(".tex")
    picture = out.with_name("spread.png" if out.stem == _TABLE else f"{out.stem}-spread.png")
    if not config.overwrite:
        refuse_other(out, f"{markdown.TITLE}\n", _MAKER)
        refuse_other(table, records.BEGINNING, _MAKER)
        refuse_other(tex, f"{latex.TITLE}\n", _MAKER)
        refuse_other(picture, MARK, _MAKER, within=PNG_HEAD)
    made = tables(collected.runs, published=config.published, all_sizes=config.sizes == "all")
    comparisons = [compare(one) for one in made]
    text = markdown.markdown(made, comparisons, collected)
    files: dict[Path, str | bytes] = {
        out: text,
        table: records.csv_text(made),
        tex: latex.latex(made),
    }
    drawn = spread_png(made)
    if drawn is not None:
        files[picture] = drawn
    out.parent.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_atomic(path, content)
    names = [str(path) for path in files]
    return {
        "text": f"{text}\nWritten: {', '.join(names)}\n",
        "out": str(out),
        "files": names,
        "rows": records.plain_rows(made),
        "significance": [dataclasses.asdict(one) for group in comparisons for one in group],
        "warnings": list(markdown.warnings(collected.runs)),
        "runs": len(collected.runs),
        "failed": len(collected.failed),
        "unfinished": len(collected.unfinished),
        "missing": len(collected.missing),
    }
