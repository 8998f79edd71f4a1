"""Settings of `hanmo pretrain`, checked before anything is loaded."""

from typing import Any, TypeAlias

from hanmo.core.errors import UserError, nearest
from hanmo.data.pairing import PARTNERS

# `pretrain.Config`; importing it here would be a cycle.
Options: TypeAlias = Any


def check(config: Options) -> None:
    """Refuse values that no run can have.

    Raises:
        UserError: says which, what it got and what was expected.
    """
    for name in (
        "steps",
        "batch_size",
        "accumulate",
        "save_every",
        "keep",
        "log_every",
        "stop_at",
        "dupe_factor",
    ):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')}: got {value}; expected ≥ 1")
    if config.warmup_steps is not None and config.warmup_steps < 0:
        raise UserError(f"--warmup-steps: got {config.warmup_steps}; expected 0 or more")
    _check_seeds(config)
    if config.weight_decay < 0:
        raise UserError(f"--weight-decay: got {config.weight_decay}; expected 0 or more")
    if config.workers < 0:
        raise UserError(f"--workers: got {config.workers}; expected 0 or more")
    for name in ("learning_rate", "clip_norm"):
        if not getattr(config, name) > 0:
            got = getattr(config, name)
            raise UserError(f"--{name.replace('_', '-')}: got {got}; expected more than 0")
    if config.partner not in PARTNERS:
        raise UserError(f"--partner: no {config.partner!r}{nearest(config.partner, PARTNERS)}")
    if not 0 <= config.short_sequence_rate <= 1:
        got = config.short_sequence_rate
        raise UserError(f"--short-sequence-rate: got {got}; expected a share from 0 to 1")
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise UserError(f"--dropout: got {config.dropout}; expected a share in [0, 1)")
    if config.init is None and config.size is None:
        raise UserError("pretrain: --size or --init missing; for example --size small")


def _check_seeds(config: Options) -> None:
    for name, seed in (("seed", config.seed), ("data-seed", config.data_seed or 0)):
        if not 0 <= seed < 2**63:
            raise UserError(f"--{name}: got {seed}; expected 0 to 2^63 - 1")
