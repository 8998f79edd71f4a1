"""What resuming costs: saving, verifying and restoring a checkpoint, and finding the batch.

A run of `--size` is begun on real shards and saved; then the newest checkpoint is looked for (all
digests compared), restored, and batches are made at the first step and a billion steps on. Beside
it, torch.save and torch.load of the same weights and moments, without digests or fsync.

    python bench/resume.py SHARDS [--size base]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

FAR = 10**9


def main() -> None:
    """Measure and print the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--size", default="base")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to save; default: the system's")
    options = parser.parse_args()

    from hanmo.data.loader import Loader
    from hanmo.data.sequences import plan_sequences
    from hanmo.data.shards import ShardSet
    from hanmo.model import checkpoint
    from hanmo.model.config import size_named
    from hanmo.objectives import mlm
    from hanmo.objectives._objective import Corruptor, Vocabulary
    from hanmo.text.tokenizer import Tokenizer
    from hanmo.train import state
    from hanmo.train.optim import build_optimizer, moments

    tokenizer = Tokenizer.load(options.shards)
    model = mlm.Objective().build(size_named(options.size), {})
    optimizer = build_optimizer(model, learning_rate=1e-4)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    plan = plan_sequences(ShardSet.open(options.shards), max_length=512)
    corruptor = Corruptor("mlm", {}, Vocabulary.of(tokenizer))
    loader = Loader(plan, corruptor, batch_size=32, max_length=512, seed=1)
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        out = Path(made)

        def save() -> None:
            state.save_state(
                out,
                state.TrainingState(7, {}),
                model,
                optimizer,
                tokenizer=tokenizer,
                config={},
                extra={},
                shape={},
            )

        def restore() -> None:
            checkpoint.restore_weights(model, out / "step-000000007")
            state.restore(out / "step-000000007", model, optimizer)

        def torch_save() -> None:
            torch.save((model.state_dict(), moments(model, optimizer)), out / "peer.pt")

        seconds = {
            "save": timed(save, options.rounds),
            "verify": timed(lambda: state.latest(out), options.rounds),
            "restore": timed(restore, options.rounds),
            "torch_save": timed(torch_save, options.rounds),
            "torch_load": timed(lambda: torch.load(out / "peer.pt"), options.rounds),
            "first_batch": timed(lambda: loader.batch(0), options.rounds),
            "far_batch": timed(lambda: loader.batch(FAR), options.rounds),
        }
    figures = " ".join(f"{name}_s={value:.4f}" for name, value in seconds.items())
    ratio = seconds["far_batch"] / seconds["first_batch"]
    saving = seconds["save"] / seconds["torch_save"]
    print(f"RESULT size={options.size} {figures} far_ratio={ratio:.2f} save_ratio={saving:.2f}")


def timed(work: Callable[[], object], rounds: int) -> float:
    """Return the median seconds of some rounds after one that warms up."""
    found = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


if __name__ == "__main__":
    main()
