"""Stored answers of teachers: how a run's sequences are described, and the folders that fit it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from hanmo.core.artifact import verify
from hanmo.core.errors import UserError
from hanmo.core.identity import plain
from hanmo.data.answers import AnswerSet, check_run

# What decides which pieces a sequence has, and how it is masked, but for its seed and length.
MASKING = ("unit", "ngram", "rate", "shares", "any_random", "soft_at")
_OPTION = "answers"  # of objectives that learn from some

# `pretrain.Config` or `teach.Config`; importing them here would be a cycle.
Options: TypeAlias = Any


def described(
    config: Options, lengths: Sequence[int], masking: Mapping[str, Any], shards: str
) -> dict[str, Any]:
    """Say how a run's sequences are made.

    Args:
        config: has partner, short_sequence_rate, dupe_factor, seed and perhaps data_seed.
        lengths: longest sequence of each phase.
        masking: options of the objective.
        shards: digest of the shards.
    """
    return {
        "shards_digest": shards,
        "lengths": list(lengths),
        "partner": config.partner,
        "short_sequence_rate": config.short_sequence_rate,
        "seed": seed_of_data(config),
        "dupe_factor": config.dupe_factor,
        **{name: plain(masking[name]) for name in MASKING},
    }


def seed_of_data(config: Options) -> int:
    """Return the seed of order and masks, which may be another than that of the weights."""
    own: int | None = getattr(config, "data_seed", None)
    seed: int = config.seed
    return seed if own is None else own


def stored_answers(
    config: Options, phases: Any, shards: str, *, verified: bool = True
) -> list[AnswerSet]:
    """Open the answers that a run learns from, if it does.

    Args:
        config: of `hanmo pretrain`.
        phases: its phases.
        shards: digest of its shards.
        verified: compare every file with its digest; of several processes one is enough.

    Raises:
        UserError: answers to other sequences than the run's.
    """
    folders = config.options.get(_OPTION) or ()
    if not folders:
        return []
    from hanmo.distill.matches import parse_match

    matches = [parse_match(text) for text in config.options.get("matches") or ()]
    wanted = frozenset(layer for match in matches for layer in match.teacher)
    logits = config.options.get("soft_weight", 1.0) > 0
    found = [
        AnswerSet(folder, number, wanted=wanted, logits=logits)
        for number, folder in enumerate(folders)
    ]
    lengths = [phase.max_length for phase in phases]
    if config.dupe_factor is None:
        stored = found[0].config["dupe_factor"]
        raise UserError(
            f"--dupe-factor: none, so that every epoch is masked anew; {found[0].folder} has "
            f"answers to {stored} ways of masking: pass --dupe-factor {stored}"
        )
    for answers in found:
        if verified:
            verify(answers.folder)
        check_run(answers, described(config, lengths, config.options, shards))
    return found
