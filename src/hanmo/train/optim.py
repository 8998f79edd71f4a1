"""Optimisers and learning-rate schedules as BERT's, with exactly restorable state.

BERT's AdamW (facts/05 "Optimizer/schedule"): no bias correction, epsilon 1e-6, weight decay 0.01
on everything but biases and layer normalisation; linear warm-up, then linear decay to 0. Beside it
LAMB, torch's AdamW, ELECTRA's warm-up and its layer-wise decay of the learning rate.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hanmo.core.errors import UserError, nearest
from hanmo.train.cluster import share_like, whole


class BertAdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay and without bias correction; with trust ratios it is LAMB.

    LAMB (You et al. 2020) as google-research/albert's `lamb_optimizer.py` has it (facts/05): the
    update m / (√v + ε) + decay · w of each parameter is scaled by ‖w‖ / ‖update‖, by 1 when either
    is 0. Groups that do not decay (layer normalisation, biases) are not to be scaled either.

    Args:
        params: parameters or groups; a group's `weight_decay` overrides the default.
        lr: learning rate, usually set by the loop before each step.
        betas: decay rates of the moments.
        eps: added to the root of the second moment.
        weight_decay: share of lr by which weights shrink each step.
        adapts: scale updates by their trust ratio; a group's `adapts` overrides it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        adapts: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "adapts": adapts})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._update(group, params)
        return loss

    def _update(self, group: Mapping[str, Any], params: list[nn.Parameter]) -> None:
        if not group["adapts"] and all(type(p.grad) is Tensor for p in params):
            _step_at_once(group, params, self.state)
            return
        m, denominators = _update_moments(group, params, self.state)
        weights: list[Tensor] = list(params)
        if group["adapts"]:
            _step_by_trust(group, weights, torch._foreach_div(m, denominators))
            return
        # w -= lr · (m / (√v + ε) + decay · w), with the weight before the step on the right.
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_addcdiv_(weights, m, denominators, -group["lr"])


def _step_at_once(group: Mapping[str, Any], params: list[nn.Parameter], state: Any) -> None:
    """Take AdamW's step in torch's fused kernel: one pass over memory instead of seven.

    The kernel corrects the moments' bias by 1 - beta^step; at an immense step that is exactly 1, as
    BERT has it. Shares of parameters (FSDP) are not plain tensors and take the other way.
    """
    _begin_moments(params, state)
    beta1, beta2 = group["betas"]
    late = torch.full((), 1e9, device=params[0].device)
    torch._fused_adamw_(
        [p.detach() for p in params],
        [p.grad for p in params if p.grad is not None],
        [state[p]["m"] for p in params],
        [state[p]["v"] for p in params],
        [],
        [late] * len(params),
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )


def _begin_moments(params: list[nn.Parameter], state: Any) -> None:
    for p in params:
        if not state[p]:
            state[p] = {"m": torch.zeros_like(p), "v": torch.zeros_like(p)}


def _step_by_trust(
    group: Mapping[str, Any], weights: list[Tensor], updates: tuple[Tensor, ...]
) -> None:
    """Take LAMB's step: each update scaled by ‖w‖ / ‖update‖."""
    torch._foreach_add_(updates, weights, alpha=group["weight_decay"])
    sizes, lengths = torch._foreach_norm(weights), torch._foreach_norm(updates)
    ratios = [
        torch.where((size > 0) & (length > 0), size / length, torch.ones_like(size))
        for size, length in zip(sizes, lengths, strict=True)
    ]
    torch._foreach_mul_(updates, ratios)
    torch._foreach_add_(weights, updates, alpha=-group["lr"])


def _update_moments(
    group: Mapping[str, Any], params: list[nn.Parameter], state: Any
) -> tuple[list[Tensor], list[Tensor]]:
    """Move BERT's moments on; returns m and √v + ε of each parameter."""
    _begin_moments(params, state)
    beta1, beta2 = group["betas"]
    grads = [p.grad for p in params if p.grad is not None]
    m = [state[p]["m"] for p in params]
    v = [state[p]["v"] for p in params]
    torch._foreach_lerp_(m, grads, 1 - beta1)
    torch._foreach_mul_(v, beta2)
    torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
    denominators = list(torch._foreach_sqrt(v))
    torch._foreach_add_(denominators, group["eps"])
    return m, denominators


OPTIMISERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": BertAdamW,
    "adamw-torch": torch.optim.AdamW,
    "lamb": functools.partial(BertAdamW, adapts=True),
}


def build_optimizer(
    model: nn.Module,
    *,
    name: str = "adamw",
    learning_rate: float,
    weight_decay: float = 0.01,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """Build an optimiser whose decay leaves out biases and layer normalisation.

    Each group has a `scale` that its learning rate is multiplied by: `layer_scale` of its depth.

    Args:
        model: its parameters are optimised.
        name: "adamw" (BERT's), "adamw-torch" (bias-corrected, epsilon 1e-8) or "lamb".
        learning_rate: peak learning rate.
        weight_decay: decoupled decay.
        layer_decay: ELECTRA's layer-wise decay of the learning rate; 1 is none.

    Raises:
        UserError: unknown name, or a decay outside (0, 1].
    """
    if name not in OPTIMISERS:
        raise UserError(f"optimizer: no {name!r}{nearest(name, OPTIMISERS)}")
    if not 0 < layer_decay <= 1:
        raise UserError(f"layer_decay: got {layer_decay}; expected more than 0, up to 1")
    n_layers = _count_layers(model)
    groups: dict[tuple[bool, float], dict[str, Any]] = {}
    for plain, named in zip((False, True), split_by_decay(model), strict=True):
        for parameter_name, parameter in named:
            scale = layer_scale(parameter_name, decay=layer_decay, n_layers=n_layers)
            group = groups.setdefault((plain, scale), {"params": [], "scale": scale})
            group["params"].append(parameter)
            group["weight_decay"] = 0.0 if plain else weight_decay
            if name == "lamb":
                group["adapts"] = not plain
    return OPTIMISERS[name](list(groups.values()), lr=learning_rate, weight_decay=weight_decay)


_EMBEDDINGS = re.compile(r"(?:^|\.)embeddings(?:_project)?\.")
_LAYER = re.compile(r"(?:^|\.)encoder\.layer\.(\d+)\.")


def layer_scale(name: str, *, decay: float, n_layers: int) -> float:
    """Return what a parameter's learning rate is multiplied by: decay^(n_layers + 2 - depth).

    Depth is 0 for embeddings, i + 1 for layer i, n_layers + 2 for heads: the top layer is scaled by
    decay², as in google-research/electra `model/optimization.py` (facts/04 "Optimizer").
    """
    layer = _LAYER.search(name)
    if layer:
        return float(decay ** (n_layers + 1 - int(layer[1])))
    return float(decay ** (n_layers + 2)) if _EMBEDDINGS.search(name) else 1.0


def _count_layers(model: nn.Module) -> int:
    found = (_LAYER.search(name) for name, _ in model.named_parameters())
    return max((int(layer[1]) + 1 for layer in found if layer), default=0)


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


def warmup_decayed(step: int, *, total: int, warmup: int) -> float:
    """Return ELECTRA's multiplier: the linear decay runs during the warm-up too (facts/04)."""
    rise = min(1.0, step / warmup) if warmup else 1.0
    return max(0.0, 1 - step / max(1, total)) * rise


# name → (step, total, warmup) → multiplier of the peak learning rate.
SCHEDULES: Mapping[str, Callable[..., float]] = {"bert": warmup_linear, "electra": warmup_decayed}


def schedule_named(name: str) -> Callable[..., float]:
    """Return a schedule of the learning rate.

    Raises:
        UserError: unknown name.
    """
    if name not in SCHEDULES:
        raise UserError(f"schedule: no {name!r}{nearest(name, SCHEDULES)}")
    return SCHEDULES[name]


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as flat tensors, `<parameter>/<slot>` → tensor."""
    found = {}
    for name, parameter in model.named_parameters():
        for slot, value in optimizer.state.get(parameter, {}).items():
            found[f"{name}/{slot}"] = whole(torch.as_tensor(value))
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
        optimizer.state.setdefault(parameter, {})[slot] = share_like(value, parameter)
