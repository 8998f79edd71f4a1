"""The settings of `hanmo prepare`, checked, as the stages take them.

In: the command's `Config`. Out: `Options` of `corpus/spool.py`.
"""

from typing import TYPE_CHECKING

from hanmo.core.errors import UserError
from hanmo.core.flags import hyphens
from hanmo.corpus.filters import FilterOptions
from hanmo.corpus.near import NearOptions
from hanmo.corpus.paragraphs import ParagraphOptions
from hanmo.corpus.reading import ReadOptions
from hanmo.corpus.scripts import converter
from hanmo.corpus.spool import Options
from hanmo.corpus.treating import RAW_LONGER, TreatOptions

if TYPE_CHECKING:
    from hanmo.commands.prepare import Config

_LEAST = {
    **dict.fromkeys(
        ("workers", "max_line_mib", "part_chars", "max_chars", "near_ngram", "near_buckets"), 1
    ),
    **dict.fromkeys(("min_chars", "dedup_paragraphs", "max_line_documents"), 0),
}
_SHARES = ("min_chinese", "max_broken", "max_control", "max_repeated", "max_boilerplate")


def options_of(config: "Config") -> Options:
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


def _check_duplicates(config: "Config") -> None:
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
