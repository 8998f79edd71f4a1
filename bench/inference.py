"""Inference: speed-ups of the published small shapes over base, beside transformers' BertModel.

Encoders of random weights with 21,128 pieces, ids of one length, from ids to the hidden states of
all pieces. Every batch size, number of threads and precision is a case; in a case all shapes of
both sides take turns, and medians are compared. hanmo is what `hanmo sizes` measures; the peer is
`BertModel` (sdpa, no pooler) with the same weights' shape, precision and an attention mask. In bf16
both have bf16 weights. Beside the speed-ups stand MiniRBT's published ones and what the operations
alone would give.

From text to answer, beside transformers' pipelines: bench/pipelines.py.

    python bench/inference.py [--length 128 512] [--batch 1 32] [--threads 1 2] [--rounds 5]
"""

import argparse
import dataclasses
import os
import statistics
import time
from collections.abc import Callable

import torch

# MiniRBT's README (iflytek/MiniRBT): inference speed-up over RoBERTa-wwm-ext.
PUBLISHED = {
    "base": 1.0,
    "rbt6": 1.7,
    "rbt3": 2.8,
    "rbt4-h312": 6.8,
    "minirbt-h288": 5.7,
    "minirbt-h256": 6.8,
}
PEER = "transformers "


def main() -> None:
    """Measure every case and print a RESULT line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--length", type=int, nargs="+", default=[128])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--shapes", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-peer", action="store_true", help="leave transformers out")
    options = parser.parse_args()
    if "base" not in options.shapes:
        parser.error("--shapes: lacks base, which the speed-ups are over")
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown")
    print(f"cpu {cpu}, torch {torch.__version__}, load before {os.getloadavg()[0]:.2f}")
    start = time.perf_counter()
    for precision in options.precision:
        for threads in options.threads:
            for length in options.length:
                for batch in options.batch:
                    case(precision, threads, length, batch, options)
    print(f"{time.perf_counter() - start:.0f} s in all, load after {os.getloadavg()[0]:.2f}")


def case(precision: str, threads: int, length: int, batch: int, options) -> None:
    """Measure one case, print its table and its RESULT line."""
    from hanmo.commands._encoder_speed import interleaved
    from hanmo.train.devices import prepare

    device = prepare(precision, threads=threads, name="cpu")
    passes: dict[str, Callable[[], None]] = {}
    for shape in options.shapes:
        passes[shape] = own_pass(shape, length, batch, device)
        if not options.no_peer:
            passes[PEER + shape] = peer_pass(shape, length, batch, device)
    seconds = interleaved(passes, repeats=options.rounds)
    speed = {name: batch / statistics.median(values) for name, values in seconds.items()}
    print(f"\n{precision}, {threads} thread(s), length {length}, batch {batch}")
    print("shape           ex/s  speed-up  published  by operations  transformers  hanmo over it")
    results = {}
    for shape in options.shapes:
        up = speed[shape] / speed["base"]
        line = f"{shape:13} {speed[shape]:6.1f}  {up:8.2f}  {PUBLISHED[shape]:9.1f}"
        line += f"  {operations('base', length) / operations(shape, length):13.2f}"
        key = shape.replace("-", "_")
        results[f"{key}_per_s"] = f"{speed[shape]:.1f}"
        results[f"{key}_speed_up"] = f"{up:.2f}"
        if not options.no_peer:
            theirs = speed[PEER + shape]
            line += f"  {theirs:12.1f}  {speed[shape] / theirs:13.2f}"
            results[f"{key}_peer_speed_up"] = f"{theirs / speed[PEER + 'base']:.2f}"
            results[f"{key}_over_peer"] = f"{speed[shape] / theirs:.2f}"
        print(line)
    values = " ".join(f"{key}={value}" for key, value in results.items())
    settings = f"precision={precision} threads={threads} length={length} batch={batch}"
    print(f"RESULT {settings} {values}", flush=True)


def own_pass(shape: str, length: int, batch: int, device) -> Callable[[], None]:
    """Return hanmo's pass over one batch."""
    from hanmo.commands._encoder_speed import batched, passing, random_pieces, ready
    from hanmo.model.checkpoint import random_encoder
    from hanmo.model.config import SIZES

    config = SIZES[shape]
    encoder = ready(random_encoder(config, seed=1), device)
    pieces = random_pieces(config, length=length, n=batch)
    return passing(encoder, batched(pieces, size=batch, pad_id=0), device)


def peer_pass(shape: str, length: int, batch: int, device) -> Callable[[], None]:
    """Return transformers' pass over the same ids."""
    from transformers import BertConfig, BertModel

    from hanmo.commands._encoder_speed import random_pieces
    from hanmo.model.config import SIZES

    numbers = dataclasses.asdict(SIZES[shape])
    numbers.pop("embedding_size")
    model = BertModel(
        BertConfig(**numbers, attn_implementation="sdpa"), add_pooling_layer=False
    ).eval()
    if device.precision == "bf16":
        model.to(torch.bfloat16)
    pieces = random_pieces(SIZES[shape], length=length, n=batch)
    ids = torch.stack([torch.from_numpy(one) for one in pieces])
    mask = torch.ones_like(ids)

    def run() -> None:
        model(input_ids=ids, attention_mask=mask)

    return run


def operations(shape: str, length: int) -> float:
    """Multiplications and additions of a forward pass a piece: 2 a weight, and attention."""
    from hanmo.model.config import SIZES

    config = SIZES[shape]
    h, f = config.hidden_size, config.intermediate_size
    return config.num_hidden_layers * (2 * (4 * h * h + 2 * h * f) + 4 * h * length)


if __name__ == "__main__":
    main()
