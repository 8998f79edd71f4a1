"""One pre-training step, hanmo against transformers, on the same real sequences.

Both do MLM on packed real text at the same number of pieces a step, forward, backward, clip and
AdamW, in the same precision and with the same number of threads; steps are taken in turn and
medians compared. transformers computes its head at every position, as its trainer does.

    python bench/pretrain_step.py SHARDS [--size tiny] [--max-length 128] [--batch-size 32]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn


def main() -> None:
    """Measure and print the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="more only on idle cores")
    options = parser.parse_args()

    from hanmo.train.devices import prepare

    device = prepare(options.precision, threads=options.threads)
    batches, config = load(options)
    ours = own_step(config, device)
    theirs = peer_step(config, device)
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    n_pieces = 0
    for index, batch in enumerate(batches):
        for name, step in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            step(batch)
            if index:  # the first step of each warms up
                seconds[name].append(time.perf_counter() - start)
        n_pieces += batch.n_pieces if index else 0
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    speed = n_pieces / len(seconds["ours"]) / medians["ours"]
    print(
        f"RESULT precision={device.precision} threads={options.threads} "
        f"ours_pieces_per_s={speed:.0f} "
        f"transformers_seconds={medians['theirs']:.3f} ours_seconds={medians['ours']:.3f} "
        f"ratio={medians['theirs'] / medians['ours']:.2f}"
    )


def load(options: argparse.Namespace):
    """Read real batches and the shape of the model."""
    import dataclasses

    from hanmo.data.loader import Loader
    from hanmo.data.sequences import plan_sequences
    from hanmo.data.shards import ShardSet
    from hanmo.model.checkpoint import with_dropout
    from hanmo.model.config import size_named
    from hanmo.model.trainable import Batch
    from hanmo.objectives._objective import Corruptor, Vocabulary
    from hanmo.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(options.shards)
    plan = plan_sequences(ShardSet.open(options.shards), max_length=options.max_length)
    corruptor = Corruptor("mlm", {}, Vocabulary.of(tokenizer))
    loader = Loader(
        plan, corruptor, batch_size=options.batch_size, max_length=options.max_length, seed=1
    )
    shape = dataclasses.replace(size_named(options.size), vocab_size=tokenizer.size)
    batches = [Batch.from_arrays(loader.batch(step)) for step in range(options.steps + 1)]
    return batches, with_dropout(shape, options.dropout)


def own_step(config, device) -> Callable:
    """Return our step."""
    from hanmo.model.masked_lm import MaskedLm
    from hanmo.train.optim import build_optimizer

    torch.manual_seed(1)
    model = MaskedLm(config)
    optimizer = build_optimizer(model, learning_rate=1e-4)

    def step(batch) -> None:
        with device.autocast():
            losses = model.losses(model.outputs(batch), batch, progress=0.0)
        losses.total.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def peer_step(config, device) -> Callable:
    """Return transformers' step on the same rows, packed with a 4-D mask (its correct way)."""
    import dataclasses

    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(1)
    model = BertForMaskedLM(BertConfig(**dataclasses.asdict(config)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)

    def step(batch) -> None:
        labels = torch.full_like(batch.input_ids, -100).flatten()
        labels[batch.positions] = batch.targets["pieces"]
        same = batch.sequence_ids[:, None, :, None] == batch.sequence_ids[:, None, None, :]
        bias = torch.zeros(same.shape).masked_fill_(~same, -1e4)
        with device.autocast():
            loss = model(
                input_ids=batch.input_ids,
                attention_mask=bias,
                token_type_ids=batch.token_type_ids,
                position_ids=batch.position_ids,
                labels=labels.view_as(batch.input_ids),
            ).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


if __name__ == "__main__":
    main()
