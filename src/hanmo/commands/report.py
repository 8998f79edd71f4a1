"""Put the scores of runs into tables: max (mean) over seeds, beside the published numbers.

In: folders with runs below. Out: table.md and table.csv, and the table on the console; --json gives
every row. Unfinished, failed and missing runs are counted, never averaged.

    hanmo report work/runs
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanmo.core.errors import UserError
from hanmo.core.files import write_atomic
from hanmo.report.runs import collect
from hanmo.report.table import TITLE, csv_text, markdown, plain_rows, tables


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo report`.

    Attributes:
        runs: Folders with runs below, such as the --out of `hanmo evaluate`.
        out: Markdown file to write, with a .csv beside it; default: table.md in the first folder.
        published: Add published results of the same tasks; false leaves them out.
        overwrite: Replace a file that is no table of hanmo's.
    """

    runs: list[Path] = field(metadata={"positional": True})
    out: Path | None = None
    published: bool = True
    overwrite: bool = False


def run(config: Config) -> dict[str, Any]:
    """Write the tables.

    Returns:
        "text": the Markdown; "rows", and the counts "runs", "failed", "unfinished", "missing".

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
    made = tables(collected.runs, published=config.published)
    out = config.out or config.runs[0] / "table.md"
    if out.suffix == ".csv":
        raise UserError(
            f"--out {out}: names the Markdown file; expected for example {out.with_suffix('.md')} "
            "(the .csv is written beside it)"
        )
    table = out.with_suffix(".csv")
    if not config.overwrite:
        _refuse_other(out, f"{TITLE}\n")
        _refuse_other(table, csv_text([]))
    out.parent.mkdir(parents=True, exist_ok=True)
    text = markdown(made, collected)
    write_atomic(out, text)
    write_atomic(table, csv_text(made))
    return {
        "text": text,
        "out": str(out),
        "rows": plain_rows(made),
        "runs": len(collected.runs),
        "failed": len(collected.failed),
        "unfinished": len(collected.unfinished),
        "missing": len(collected.missing),
    }


def _refuse_other(path: Path, beginning: str) -> None:
    """Refuse to replace a file that does not begin as a report does."""
    if not path.is_file():
        if path.exists():
            raise UserError(f"{path}: is a folder; expected a file for the table")
        return
    with path.open("rb") as stream:
        if stream.read(len(beginning.encode())) == beginning.encode():
            return
    raise UserError(
        f"{path}: exists and is no table made by hanmo; choose another --out, or pass --overwrite"
    )
