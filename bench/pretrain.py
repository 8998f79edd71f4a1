"""Pre-training steps of hanmo against transformers on the same real sequences, in turn.

A case is a size and a length; a step is forward, backward, clipping and AdamW on the same sequences
with the same number of threads, precision, dropout and allocator settings. The peers:

    default    BertForMaskedLM with its default attention (sdpa), padded to the longest of the batch
    best       the fastest that transformers offers for it: eager attention where that is faster
    fp32       the default in fp32 with dropout 0.1: its Trainer out of the box

transformers computes its head at every position; hanmo packs rows and computes it where something
is masked. Pieces a second count real pieces. MFU is against the fastest matrix product measured
here in the same precision; only work that is done counts (the head and what follows the last
attention run at masked positions). Medians of interleaved rounds, after `--warm-up` of them: the
heap grows to its size first.

With --electra and a size of that family, what ELECTRA costs beside `mlm` in the same shape, and
what its operations say.

    python bench/pretrain.py SHARDS [--cases small:128 small:512 tiny:128] [--device cuda]
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn


def main() -> None:
    """Measure every case and print a RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--cases", nargs="+", default=["small:128", "small:512", "tiny:128"])
    parser.add_argument("--pieces", type=int, default=8192, help="about so many a step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dropout", type=float, nargs="+", default=[0.0, 0.1])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device")
    parser.add_argument("--peers", nargs="+", default=["default", "best", "fp32"])
    parser.add_argument("--warm-up", type=int, default=2, help="rounds that do not count")
    parser.add_argument("--electra", action="store_true", help="measure ELECTRA's cost")
    parser.add_argument("--compile", action="store_true", help="measure hanmo's --compile too")
    parser.add_argument("--lert", action="store_true", help="measure LERT's heads too")
    options = parser.parse_args()

    from hanmo.train.devices import n_threads, prepare

    device = prepare(options.precision, threads=options.threads, name=options.device)
    limit = matmul_limit(device)
    name = torch.cuda.get_device_name() if device.name == "cuda" else "cpu"
    print(
        f"device {name}, {device.precision}, {n_threads()} threads, torch {torch.__version__}; "
        f"fastest matrix product {limit / 1e12:.3f} TFLOP/s"
    )
    results = {}
    for case in options.cases:
        size, length = case.split(":")
        for dropout in options.dropout:
            figures = measure(size, int(length), dropout, device, options)
            ours = figures["ours"]
            share = ours * flops_per_piece(size, int(length)) / limit
            cost = figures.pop("electra", None)
            if cost:
                key = f"{size}_{length}_d{dropout:g}_electra"
                results[f"{key}_cost"] = f"{ours / cost:.2f}"
                results[f"{key}_cost_by_flops"] = f"{electra_cost(size, int(length)):.2f}"
            print(
                f"{case} dropout {dropout}: hanmo {ours:,.0f} pieces/s, MFU {share:.0%}"
                + "".join(
                    f"; {peer} {value:,.0f} ({ours / value:.2f} x)"
                    for peer, value in figures.items()
                    if peer != "ours"
                ),
                flush=True,
            )
            key = f"{size}_{length}_d{dropout:g}"
            results[f"{key}_pieces_per_s"] = f"{ours:.0f}"
            results[f"{key}_mfu"] = f"{share:.3f}"
            results |= {
                f"{key}_ratio_{peer}": f"{ours / value:.2f}"
                for peer, value in figures.items()
                if peer != "ours"
            }
    print("RESULT " + " ".join(f"{key}={value}" for key, value in results.items()))


def measure(size: str, length: int, dropout: float, device, options) -> dict[str, float]:
    """Return pieces a second of hanmo ("ours") and of each peer."""
    sequences, tokenizer, packed = load(options.shards, length, options)
    config = dataclasses.replace(shape(size), vocab_size=tokenizer.size)
    config = dataclasses.replace(
        config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout
    )
    steps: dict[str, Callable[[int], None]] = {"ours": own_step(config, packed, device, "mlm")}
    if options.lert:
        with_labels = load(options.shards, length, options, objective="lert")[2]
        steps["lert"] = own_step(config, with_labels, device, "lert")
    if options.electra:
        chosen = load(options.shards, length, options, objective="electra")[2]
        steps["electra"] = own_step(config, chosen, device, "electra")
    if options.compile:
        steps["compiled"] = own_step(config, packed, device, "mlm", compiled=True)
    if "default" in options.peers:
        steps["default"] = peer_step(config, sequences, device, "sdpa")
    if "best" in options.peers:
        steps["best"] = peer_step(config, sequences, device, "eager")
    if "fp32" in options.peers:
        trainer = dataclasses.replace(
            config, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1
        )
        plain = dataclasses.replace(device, precision="fp32")
        steps["fp32"] = peer_step(trainer, sequences, plain, "sdpa")
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    n_pieces = [batch.n_pieces for batch in packed]
    for index in range(options.rounds + options.warm_up):
        for name, step in steps.items():
            start = time.perf_counter()
            step(index)
            if device.name == "cuda":
                torch.cuda.synchronize()
            if index >= options.warm_up:
                seconds[name].append((time.perf_counter() - start) / n_pieces[index])
    figures = {name: 1 / statistics.median(values) for name, values in seconds.items()}
    if "best" in figures and "default" in figures:
        figures["best"] = max(figures["best"], figures["default"])
    return figures


def shape(size: str):
    """Return the shape of a size."""
    from hanmo.model.config import size_named

    return size_named(size)


def load(folder: Path, length: int, options, *, objective: str = "mlm"):
    """Read sequences of about `pieces` a step, as they are and as hanmo's batches."""
    from hanmo.data.loader import Loader
    from hanmo.data.sequences import plan_sequences
    from hanmo.data.shards import ShardSet
    from hanmo.model.trainable import Batch
    from hanmo.objectives._objective import Corruptor, Vocabulary
    from hanmo.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(folder)
    shards = ShardSet.open(folder)
    plan = plan_sequences(shards, max_length=length)
    n = max(1, round(options.pieces / plan.lengths.mean()))
    corruptor = Corruptor(objective, {}, Vocabulary.of(tokenizer))

    def loader(*, pack: bool) -> Loader:
        return Loader(plan, corruptor, batch_size=n, max_length=length, seed=1, pack=pack)

    name = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    steps = range(options.rounds + options.warm_up)
    padded = [Batch.from_arrays(loader(pack=False).batch(step), name) for step in steps]
    packed = [Batch.from_arrays(loader(pack=True).batch(step), name) for step in steps]
    return padded, tokenizer, packed


def own_step(
    config, batches, device, objective: str, *, compiled: bool = False
) -> Callable[[int], None]:
    """Return hanmo's step: its own loop, one step at a time."""
    from hanmo.annotate.tagsets import TAGSETS
    from hanmo.model.encoder import compile_between_products
    from hanmo.objectives._objective import make_objective
    from hanmo.train.loop import train_steps
    from hanmo.train.optim import build_optimizer

    torch.manual_seed(1)
    layers = {name: tuple(tags) for name, tags in TAGSETS.items()}
    model = make_objective(objective, {}).build(config, layers).to(device.name)
    if compiled:
        compile_between_products(model)
    records = train_steps(
        model,
        build_optimizer(model, learning_rate=1e-4),
        ([batch] for batch in batches),
        start=0,
        stop=len(batches),
        total=len(batches),
        learning_rate=lambda step: 1e-4,
        device=device,
    )
    return lambda index: next(records) and None


def peer_step(config, batches, device, attention: str) -> Callable[[int], None]:
    """Return transformers' step on padded rows."""
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(1)
    numbers = dataclasses.asdict(config)
    numbers.pop("embedding_size")
    model = BertForMaskedLM(BertConfig(**numbers, attn_implementation=attention))
    model.to(device.name).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)

    def step(index: int) -> None:
        batch = batches[index]
        labels = torch.full_like(batch.input_ids, -100).flatten()
        labels[batch.positions] = batch.targets["pieces"]
        with device.autocast():
            loss = model(
                input_ids=batch.input_ids,
                attention_mask=(batch.sequence_ids > 0).long(),
                token_type_ids=batch.token_type_ids,
                labels=labels.view_as(batch.input_ids),
            ).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


def flops_per_piece(size: str, length: int) -> float:
    """Multiplications and additions of a step of `mlm` a piece, of which 15 % are asked."""
    config = shape(size)
    return encoder_flops(config, length, asked=0.15) + head_flops(config)


def electra_cost(size: str, length: int) -> float:
    """What a step of ELECTRA costs in steps of `mlm`, by their operations."""
    from hanmo.objectives.electra import Objective

    config = shape(size)
    generator = Objective().generator_of(config)
    own = encoder_flops(config, length, asked=1.0) + 6 * config.hidden_size**2
    written = encoder_flops(generator, length, asked=0.15) + head_flops(generator)
    return (own + written) / flops_per_piece(size, length)


def encoder_flops(config, length: int, *, asked: float) -> float:
    """Forward and backward: 6 a weight, and attention; after the last one at the asked pieces."""
    h, f, n = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    weights = n * (4 * h * h + 2 * h * f) - (1 - asked) * (h * h + 2 * h * f)
    if config.projects:
        weights += config.embedding_width * h
    return 6 * weights + 12 * n * h * length


def head_flops(config) -> float:
    """Transform and product with the embeddings at 15 % of the pieces."""
    e = config.embedding_width
    return 6 * 0.15 * (config.hidden_size * e + config.vocab_size * e)


def matmul_limit(device) -> float:
    """Return the fastest matrix product found here, in operations a second."""
    dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
    best = 0.0
    for n in (1024, 2048, 4096) if device.name == "cpu" else (4096, 8192):
        a, b = (torch.randn(n, n, device=device.name).to(dtype) for _ in range(2))
        for _ in range(6):
            start = time.perf_counter()
            a @ b
            if device.name == "cuda":
                torch.cuda.synchronize()
            best = max(best, 2 * n**3 / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    main()
