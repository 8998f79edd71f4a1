"""Optimisers and learning-rate schedules as BERT's, with exactly restorable state.

BERT's AdamW (facts/05 "Optimizer/schedule"): no bias correction, epsilon 1e-6, weight decay 0.01
on everything but biases and layer normalisation; linear warm-up, then linear decay to 0.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hanmo.core.errors import UserError, nearest


class BertAdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay and without bias correction.

    Args:
        params: parameters or groups; a group's `weight_decay` overrides the default.
        lr: learning rate, usually set by the loop before each step.
        betas: decay rates of the moments.
        eps: added to the root of the second moment.
        weight_decay: share of lr by which weights shrink each step.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p] = {"m": torch.zeros_like(p), "v": torch.zeros_like(p)}
            self._update(group, params)
        return loss

    def _update(self, group: Mapping[str, Any], params: list[nn.Parameter]) -> None:
        beta1, beta2 = group["betas"]
        weights: list[Tensor] = list(params)
        grads = [p.grad for p in params if p.grad is not None]
        m = [self.state[p]["m"] for p in params]
        v = [self.state[p]["v"] for p in params]
        torch._foreach_lerp_(m, grads, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
        denominators = torch._foreach_sqrt(v)
        torch._foreach_add_(denominators, group["eps"])
        # w -= lr · (m / (√v + ε) + decay · w), with the weight before the step on the right.
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_addcdiv_(weights, m, denominators, -group["lr"])


OPTIMISERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": BertAdamW,
    "adamw-torch": torch.optim.AdamW,
}


def build_optimizer(
    model: nn.Module, *, name: str = "adamw", learning_rate: float, weight_decay: float = 0.01
) -> torch.optim.Optimizer:
    """Build an optimiser whose decay leaves out biases and layer normalisation.

    Args:
        model: its parameters are optimised.
        name: "adamw" (BERT's) or "adamw-torch" (bias-corrected, epsilon 1e-8).
        learning_rate: peak learning rate.
        weight_decay: decoupled decay.

    Raises:
        UserError: unknown name.
    """
    if name not in OPTIMISERS:
        raise UserError(f"optimizer: no {name!r}{nearest(name, OPTIMISERS)}")
    decayed, plain = split_by_decay(model)
    groups = [
        {"params": [p for _, p in decayed], "weight_decay": weight_decay},
        {"params": [p for _, p in plain], "weight_decay": 0.0},
    ]
    return OPTIMISERS[name](groups, lr=learning_rate, weight_decay=weight_decay)


def split_by_decay(
    model: nn.Module,
) -> tuple[list[tuple[str, nn.Parameter]], list[tuple[str, nn.Parameter]]]:
    """Split named parameters into those that decay and those that do not (LayerNorm, bias)."""
    decayed: list[tuple[str, nn.Parameter]] = []
    plain: list[tuple[str, nn.Parameter]] = []
    for name, parameter in model.named_parameters():
        excluded = "LayerNorm" in name or name.rpartition(".")[2] == "bias"
        (plain if excluded else decayed).append((name, parameter))
    return decayed, plain


def warmup_linear(step: int, *, total: int, warmup: int) -> float:
    """Return BERT's multiplier of the learning rate at `step` (0-based).

    Below `warmup` it is step / warmup, afterwards 1 - step / total: a small jump down where the
    two meet, and a first step at rate 0, as in the original (facts/05).
    """
    if step < warmup:
        return step / warmup
    return max(0.0, 1 - step / max(1, total))


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as flat tensors, `<parameter>/<slot>` → tensor."""
    found = {}
    for name, parameter in model.named_parameters():
        for slot, value in optimizer.state.get(parameter, {}).items():
            found[f"{name}/{slot}"] = torch.as_tensor(value)
    return found


def restore_moments(
    model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]
) -> None:
    """Put `moments` back.

    Raises:
        UserError: the state names a parameter that the model lacks, or has another shape.
    """
    parameters = dict(model.named_parameters())
    for key, value in state.items():
        name, _, slot = key.rpartition("/")
        if name not in parameters:
            raise UserError(f"optimiser state of {name!r}: the model has no such parameter")
        parameter = parameters[name]
        if value.ndim and value.shape != parameter.shape:
            raise UserError(
                f"optimiser state {key}: shape {tuple(value.shape)}; "
                f"expected {tuple(parameter.shape)}"
            )
        optimizer.state.setdefault(parameter, {})[slot] = value.to(parameter.device).clone()
