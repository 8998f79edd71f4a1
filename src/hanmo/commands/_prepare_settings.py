"""The settings of `hanmo prepare`, checked, as the stages take them.

`Config` is what the command line gives, `Options` (`corpus/spool.py`) what the passes take.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hanmo.core.errors import UserError
from hanmo.core.flags import hyphens
from hanmo.corpus.encodings import Encoding
from hanmo.corpus.filters import FilterOptions
from hanmo.corpus.inputs import AUTO
from hanmo.corpus.layouts import Layout
from hanmo.corpus.near import NearOptions
from hanmo.corpus.paragraphs import ParagraphOptions
from hanmo.corpus.reading import ReadOptions
from hanmo.corpus.scripts import converter
from hanmo.corpus.spool import Options
from hanmo.corpus.treating import RAW_LONGER, TreatOptions

OnError = Literal["stop", "skip"]

_LEAST = {
    **dict.fromkeys(
        ("workers", "max_line_mib", "part_chars", "max_chars", "near_ngram", "near_buckets"), 1
    ),
    **dict.fromkeys(("min_chars", "dedup_paragraphs", "max_line_documents"), 0),
}
_SHARES = ("min_chinese", "max_broken", "max_control", "max_repeated", "max_boilerplate")


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo prepare`.

    Attributes:
        inputs: Files and folders of them. By suffix, mostly also with .gz, .bz2, .xz, .zst behind:
            .txt, .jsonl (.json with a record a line), .parquet, .csv, .tsv, wiki_00
            (WikiExtractor), .html, .warc and .wet (web pages need: pip install 'hanmo[web]').
        out: Folder to make.
        format: Format of all files, where suffixes do not tell: "text", "json", "parquet", "csv",
            "wikiextractor", "html", "warc", or the path of a reader of your own.
        encoding: Encoding of text files: "utf-8", "gb18030" (also GBK, GB2312), "big5", or "auto"
            to tell it apart for each file.
        layout: How plain text is cut into documents: "paragraphs" (one paragraph a line, a blank
            line between documents), "sentences" (the same with one sentence a line, joined),
            "lines" (one document a line) or "auto" (paragraphs or sentences, by each file's look).
        text_key: JSON key or column of the text.
        id_key: JSON key or column of the id; without it, file name and number.
        min_chars: Drop documents of fewer characters.
        max_chars: Drop documents of more characters.
        min_chinese: Drop documents with a smaller share of Chinese characters.
        max_broken: Drop documents with a larger share of characters from a wrong encoding.
        max_control: Drop documents with a larger share of control characters.
        max_repeated: Drop documents with a larger share of text in repeated paragraphs.
        max_boilerplate: Drop documents with a larger share of text in menus, copyright notices
            and the like.
        strip_html: Remove tags and decode entities.
        strip_boilerplate: Remove lines that are menus, copyright notices and the like.
        opencc: Convert characters by an OpenCC configuration, such as t2s (traditional to
            simplified; needs: pip install 'hanmo[opencc]').
        keep_duplicates: Keep documents whose text was seen before.
        near_duplicates: Drop documents that resemble an earlier one: the Jaccard similarity of
            their character n-grams at which that begins, usually 0.8; 0 keeps them.
        near_ngram: Characters of such an n-gram.
        near_buckets: Bands of MinHash; more make the edge at that similarity sharper, and cost
            time.
        dedup_paragraphs: Remove paragraphs of at least this many characters that stood before, in
            any document; 0 keeps them.
        max_line_documents: Remove lines that stand in more documents than this; 0 keeps them.
        part_chars: Characters of a part, about; later stages work on parts in parallel.
        max_line_mib: Longest line of a text file accepted, in MiB; of records 64 at least.
        dropped: Folder to make with the documents that are dropped, their reasons and, of
            duplicates, the id of the one that is kept.
        on_error: What cannot be read: "stop", or "skip" it, tell it in OUT/missing.jsonl and end
            with exit code 3.
        workers: How many tasks run at a time.
        executor: Where tasks run: processes here, a Ray or a Slurm cluster (docs/scaling.md).
        executor_options: Options of the executor, each KEY=VALUE.
        overwrite: Replace a folder that was made with other settings.
    """

    inputs: list[Path] = field(metadata={"positional": True})
    out: Path = field(metadata={"output": True})
    format: str = AUTO
    encoding: Encoding = "utf-8"
    layout: Layout = "auto"
    text_key: str = "text"
    id_key: str | None = None
    min_chars: int = 20
    max_chars: int = 1_000_000
    min_chinese: float = 0.3
    max_broken: float = 0.005
    max_control: float = 0.05
    max_repeated: float = 0.5
    max_boilerplate: float = 1.0
    strip_html: bool = False
    strip_boilerplate: bool = False
    opencc: str | None = None
    keep_duplicates: bool = False
    near_duplicates: float = 0.0
    near_ngram: int = 5
    near_buckets: int = 14
    dedup_paragraphs: int = 0
    max_line_documents: int = 0
    part_chars: int = 700_000
    max_line_mib: int = 8
    dropped: Path | None = field(default=None, metadata={"output": True})
    # Whoever meets a mistake in the data may go on past it.
    on_error: OnError = field(default="stop", metadata={"content": False})
    workers: int = 1
    executor: str = "local"
    executor_options: list[str] = field(default_factory=list[str])
    overwrite: bool = False


def options_of(config: Config) -> Options:
    """Check the settings that the command line cannot, and return what the stages need of them.

    Raises:
        UserError: A setting that is out of its range, or does not go with another.
    """
    for name, least in _LEAST.items():
        if getattr(config, name) < least:
            raise UserError(
                f"--{hyphens(name)}: got {getattr(config, name)}, expected {least} or more"
            )
    for name in _SHARES:
        if not 0 <= getattr(config, name) <= 1:
            raise UserError(
                f"--{hyphens(name)}: got {getattr(config, name)}, expected a share, 0 to 1"
            )
    if config.min_chars > config.max_chars:
        raise UserError(
            f"--min-chars: got {config.min_chars:,}, expected at most --max-chars "
            f"({config.max_chars:,})"
        )
    _check_duplicates(config)
    if config.opencc is not None:
        converter(config.opencc)
    return Options(
        treat=TreatOptions(
            read=ReadOptions(
                layout=config.layout,
                text_key=config.text_key,
                id_key=config.id_key,
                max_line_mib=config.max_line_mib,
                encoding=config.encoding,
                longest=RAW_LONGER * config.max_chars,
            ),
            filters=FilterOptions(
                min_chars=config.min_chars,
                max_chars=config.max_chars,
                min_chinese=config.min_chinese,
                max_broken=config.max_broken,
                max_control=config.max_control,
                max_repeated=config.max_repeated,
                max_boilerplate=config.max_boilerplate,
            ),
            strip_html=config.strip_html,
            strip_boilerplate=config.strip_boilerplate,
            opencc=config.opencc,
            skip_errors=config.on_error == "skip",
        ),
        keep_duplicates=config.keep_duplicates,
        near=NearOptions(
            similarity=config.near_duplicates,
            ngram=config.near_ngram,
            buckets=config.near_buckets,
        ),
        paragraphs=ParagraphOptions(
            dedup_chars=config.dedup_paragraphs,
            frequent_in=config.max_line_documents + 1 if config.max_line_documents else 0,
        ),
        part_chars=config.part_chars,
    )


def _check_duplicates(config: Config) -> None:
    near, least = config.near_duplicates, config.dedup_paragraphs
    if near and not 0.3 <= near <= 0.95:
        raise UserError(
            f"--near-duplicates: got {near}, expected 0 (none) or a similarity of 0.3 to 0.95; "
            "equal documents are dropped anyway"
        )
    if near and config.near_buckets < 2:
        raise UserError(f"--near-buckets: got {config.near_buckets}, expected 2 or more")
    if near and config.keep_duplicates:
        raise UserError("--keep-duplicates with --near-duplicates: give one of them")
    if 0 < least < config.min_chars:
        raise UserError(
            f"--dedup-paragraphs: got {least}, expected at least --min-chars ({config.min_chars}): "
            "else a paragraph could go with the only document that it stays in"
        )
