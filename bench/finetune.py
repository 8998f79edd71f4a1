"""Fine-tuning steps of hanmo against transformers' Trainer on the same examples, in turn.

Both train the same encoder (a model folder, or a size with random weights) with the same batches of
the published size, dropout, precision (bf16) and threads. The Trainer pads each batch to its
longest sequence (DataCollatorWithPadding's rule); its examples are encoded beforehand, so that only
training is timed. An example of a reading task is a window. Medians of interleaved rounds.

--scores instead trains both to the end on part of the training split with several seeds and
compares their scores on dev: the same within the spread over seeds. The Trainer then has hanmo's
optimiser and schedule (BERT's, without bias correction): in short trainings its own AdamW, whose
first steps are smaller, is far behind.

Needs `pip install accelerate` for the Trainer.

    python bench/finetune.py --data DATA [--size small] [--tasks ocnli cmrc2018]
    python bench/finetune.py --data DATA --scores --model MODEL --limit 3000 --seeds 3 [--dev 1000]
"""

import argparse
import dataclasses
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


def main() -> None:
    """Measure every task and print a RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["ocnli", "cmrc2018"])
    parser.add_argument("--size", default="small", help="with random weights")
    parser.add_argument("--model", type=Path, help="folder of a pre-trained model instead")
    parser.add_argument("--steps", type=int, default=8, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1, help="rounds that do not count")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--limit", type=int, default=3000, help="examples of the training split")
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu: where others use the cores"
    )
    parser.add_argument("--scores", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--dev", type=int, help="score so many examples of dev, evenly spaced")
    parser.add_argument("--vocab", type=Path, help="vocab.txt, with --size")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)

    from hanmo.train.devices import n_threads, prepare

    device = prepare(options.precision, threads=options.threads)
    print(f"device {device.name}, {device.precision}, {n_threads()} threads, {torch.__version__}")
    results: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model or random_model(Path(scratch) / "model", options)
        for name in options.tasks:
            prepared = prepare_task(name, folder, options)
            if options.scores:
                results |= scores(name, prepared, folder, device, options)
            else:
                results |= speed(name, prepared, folder, device, options)
    print("RESULT " + " ".join(f"{key}={value}" for key, value in results.items()))


def random_model(folder: Path, options) -> Path:
    """Write a model of a size with random weights."""
    from hanmo.model.checkpoint import save_model
    from hanmo.model.config import size_named
    from hanmo.model.encoder import initialise
    from hanmo.model.masked_lm import MaskedLm
    from hanmo.text.tokenizer import Tokenizer

    vocabulary = options.vocab or next(options.data.rglob("vocab.txt"))
    tokenizer = Tokenizer.load(vocabulary)
    shape = dataclasses.replace(size_named(options.size), vocab_size=tokenizer.size)
    model = MaskedLm(shape)
    initialise(model, 0.02, torch.Generator().manual_seed(1))
    save_model(folder, model, tokenizer=tokenizer)
    return folder


def prepare_task(name: str, folder: Path, options):
    """Read and encode a task's training examples, and dev where it is scored."""
    from hanmo.tasks.prepared import prepare
    from hanmo.tasks.protocol import as_published
    from hanmo.tasks.splits import locate
    from hanmo.tasks.suite import find_task

    task = as_published(find_task(name), folder)
    wanted = ("train", "dev") if options.scores else ("train",)
    files = {split: path for split, path in locate(task, options.data).items() if split in wanted}
    prepared = prepare(task, files, folder, limit=options.limit, seed=1)
    if options.scores and options.dev:
        some_of_dev(prepared, options.dev)
    return prepared


def some_of_dev(prepared, wanted: int) -> None:
    """Keep so many examples of dev, evenly spaced: reading takes long."""
    split, features = prepared.splits["dev"], prepared.features["dev"]
    step = max(1, len(features) // wanted)
    prepared.splits["dev"] = dataclasses.replace(split, examples=split.examples[::step])
    prepared.features["dev"] = features[::step]


def speed(name: str, prepared, folder: Path, device, options) -> dict[str, str]:
    """Time rounds of steps, hanmo's and the Trainer's in turn."""
    own = own_steps(prepared, folder, device, options)
    peer = peer_steps(prepared, folder, options)
    batch = prepared.task.settings.batch_size
    seconds: dict[str, list[float]] = {"hanmo": [], "trainer": []}
    for index in range(options.rounds + options.warm_up):
        for who, run in (("hanmo", own), ("trainer", peer)):
            spent = run(index)
            if index >= options.warm_up:
                seconds[who].append(spent)
    rates = {
        who: options.steps * batch / statistics.median(values) for who, values in seconds.items()
    }
    ratio = rates["hanmo"] / rates["trainer"]
    print(
        f"{name}: hanmo {rates['hanmo']:.1f} examples/s, Trainer {rates['trainer']:.1f}; "
        f"{ratio:.2f} x (batch {batch}, length {prepared.task.settings.max_length})",
        flush=True,
    )
    return {
        f"{name}_examples_per_s": f"{rates['hanmo']:.1f}",
        f"{name}_trainer_examples_per_s": f"{rates['trainer']:.1f}",
        f"{name}_ratio": f"{ratio:.2f}",
    }


def own_steps(prepared, folder: Path, device, options) -> Callable[[int], float]:
    """Return a function that does a round of hanmo's steps and gives its seconds."""
    from hanmo.model.checkpoint import load_encoder, read_weights
    from hanmo.tasks import batches
    from hanmo.train.loop import train_steps
    from hanmo.train.optim import build_optimizer

    encoder = load_encoder(folder, dropout=options.dropout)
    weights = read_weights(folder)
    model, _ = prepared.kind.build(encoder, prepared.task, weights=weights, seed=1)
    model.to(device.name)
    sequences = [s for one in prepared.features["train"] for s in one.sequences]
    settings = dataclasses.replace(prepared.task.settings, epochs=10**6)
    made = batches.training_batches(
        sequences, settings, pad_id=prepared.tokenizer.pad_id, seed=1, device=device.name
    )
    optimizer = build_optimizer(model, learning_rate=1e-5)

    clock = time.process_time if options.clock == "cpu" else time.perf_counter

    def run(index: int) -> float:
        begin = clock()
        records = train_steps(
            model,
            optimizer,
            made,
            start=index * options.steps,
            stop=(index + 1) * options.steps,
            total=10**6,
            learning_rate=lambda step: 1e-5,
            device=device,
        )
        for _ in records:
            pass
        return clock() - begin

    return run


def peer_steps(prepared, folder: Path, options) -> Callable[[int], float]:
    """Return a function that does a round of the Trainer's steps and gives its seconds."""
    model = peer_model(prepared, folder, options)
    rows = peer_rows(prepared, "train")
    clock = time.process_time if options.clock == "cpu" else time.perf_counter

    def run(index: int) -> float:
        trainer = make_trainer(
            model, rows, prepared, options, seed=index + 1, max_steps=options.steps, rate=1e-5
        )
        begin = clock()
        trainer.train()
        return clock() - begin

    return run


def peer_model(prepared, folder: Path, options) -> nn.Module:
    """Open the folder as transformers' class for the task."""
    from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

    reads = "start" in prepared.features["train"][0].sequences[0].targets
    dropout = {
        "hidden_dropout_prob": options.dropout,
        "attention_probs_dropout_prob": options.dropout,
    }
    if reads:
        return AutoModelForQuestionAnswering.from_pretrained(folder, **dropout)
    n = len(prepared.task.labels)
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=n, **dropout)


def peer_rows(prepared, split: str) -> list[dict[str, Any]]:
    """Turn features into the Trainer's rows: the same pieces and targets."""
    rows = []
    for one in prepared.features[split]:
        for sequence in one.sequences:
            row: dict[str, Any] = {
                "input_ids": sequence.inputs["input_ids"].tolist(),
                "token_type_ids": sequence.inputs["token_type_ids"].tolist(),
            }
            row["attention_mask"] = [1] * len(row["input_ids"])
            if "start" in sequence.targets:
                for ours, theirs in (("start", "start_positions"), ("end", "end_positions")):
                    place = int(np.argmax(sequence.targets[ours]))
                    row[theirs] = int(sequence.positions[place])
            else:
                row["labels"] = int(sequence.targets["label"][0])
            rows.append(row)
    return rows


def pad(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad a batch to its longest row, rounded up to 8 as is usual with bf16."""
    longest = -(-max(len(row["input_ids"]) for row in rows) // 8) * 8
    made = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if isinstance(values[0], list):
            values = [value + [0] * (longest - len(value)) for value in values]
        made[name] = torch.tensor(values)
    return made


def berts(model: nn.Module, settings, steps: int):
    """Return hanmo's optimiser and schedule, as the Trainer takes them."""
    from hanmo.train.optim import build_optimizer, schedule_named

    optimizer = build_optimizer(model, learning_rate=settings.learning_rate)
    warmup, rise = int(steps * settings.warmup_rate), schedule_named(settings.schedule)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rise(step, total=steps, warmup=warmup)
    )


def make_trainer(
    model,
    rows,
    prepared,
    options,
    *,
    seed: int,
    max_steps: int,
    rate: float,
    optimizers=(None, None),
):
    """Return a Trainer with the task's settings."""
    from transformers import Trainer, TrainingArguments

    settings = prepared.task.settings
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        max_steps=max_steps,
        learning_rate=rate,
        weight_decay=0.01,
        bf16=options.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=seed,
    )
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=pad,
        optimizers=optimizers,
    )


def scores(name: str, prepared, folder: Path, device, options) -> dict[str, str]:
    """Train both with several seeds and compare their scores on dev."""
    from hanmo.tasks.metrics import score

    task = prepared.task
    expected = [example.gold for example in prepared.splits["dev"].examples]
    found: dict[str, list[float]] = {"hanmo": [], "trainer": []}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for who, run in (("hanmo", own_answers), ("trainer", peer_answers)):
            begin = time.perf_counter()
            answers = run(prepared, folder, device, options, seed)
            value = score(task.metrics[: task.tabled], expected, answers, labels=task.labels)
            found[who].append(100 * list(value.values())[-1])
            print(
                f"{name} seed {seed} {who}: {value} in {time.perf_counter() - begin:.0f} s",
                flush=True,
            )
    result = {}
    for who, values in found.items():
        result[f"{name}_{who}_mean"] = f"{statistics.fmean(values):.2f}"
        result[f"{name}_{who}_deviation"] = f"{statistics.stdev(values):.2f}"
    return result


def own_answers(prepared, folder: Path, device, options, seed: int) -> list[Any]:
    """Train hanmo's way; returns the answers on dev."""
    from hanmo.commands import _finetuning
    from hanmo.commands.finetune import Config
    from hanmo.core.log import run_log

    config = Config(
        folder,
        prepared.task.name,
        Path("unused"),
        seed=seed,
        precision=options.precision,
        threads=options.threads,
        dropout=options.dropout,
    )
    with (
        tempfile.TemporaryDirectory() as scratch,
        run_log(Path(scratch) / "log.jsonl") as log,
    ):
        trained = _finetuning.train(config, prepared, log)
    return [one.answer for one in trained.predictions["dev"]]


def peer_answers(prepared, folder: Path, device, options, seed: int) -> list[Any]:
    """Train with the Trainer; its logits are decoded as hanmo's are."""
    torch.manual_seed(seed)
    settings = prepared.task.settings
    model = peer_model(prepared, folder, options)
    rows = peer_rows(prepared, "train")
    steps = -(-len(rows) // settings.batch_size) * settings.epochs
    trainer = make_trainer(
        model,
        rows,
        prepared,
        options,
        seed=seed,
        max_steps=steps,
        rate=settings.learning_rate,
        optimizers=berts(model, settings, steps),
    )
    trainer.train()
    raw = trainer.predict(peer_rows(prepared, "dev")).predictions
    features = prepared.features["dev"]
    if isinstance(raw, tuple):
        sequences = [s for one in features for s in one.sequences]
        both = [
            np.stack([raw[0][i][s.positions], raw[1][i][s.positions]], -1)
            for i, s in enumerate(sequences)
        ]
        logits = np.concatenate(both)
    else:
        logits = raw
    decoded = prepared.kind.decode(features, {"label": logits}, prepared.task)
    return [one.answer for one in decoded]


if __name__ == "__main__":
    main()
