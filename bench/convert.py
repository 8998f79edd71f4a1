"""TF1 → Hugging Face for a BERT-base: time and peak memory, beside TensorFlow's own reader.

    python bench/convert.py --tensorflow /path/to/python-with-tensorflow [--size base] [--rounds 3]

A checkpoint of random values is made once. Each round runs both sides in turn, each in a process
of its own, start-up included. hanmo: `hanmo convert … --to hf`, which also compares every checksum,
reads the result back and compares it bit for bit. The peer: `tf.train.load_checkpoint`, renames and
safetensors' `save_file`, without checks; `--tensorflow` is a Python that has tensorflow and
safetensors. Without it hanmo's side runs alone. Peak memory is the process's (ru_maxrss).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PEER = r"""
import sys, re
import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file
reader = tf.train.load_checkpoint(sys.argv[1])
state = {}
for name in reader.get_variable_to_shape_map():
    value = reader.get_tensor(name)
    new = name.replace("layer_", "layer.").replace("/", ".")
    if new.endswith("kernel"):
        new, value = new[:-6] + "weight", np.ascontiguousarray(value.T)
    new = re.sub("gamma$", "weight", new)
    new = re.sub("beta$", "bias", new)
    new = re.sub("_embeddings$", "_embeddings.weight", new)
    new = new.replace("output_bias", "bias").replace("output_weights", "weight")
    state[new] = value
save_file(state, sys.argv[2] + "/model.safetensors")
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--tensorflow", help="a Python with tensorflow and safetensors")
    arguments.add_argument("--size", default="base")
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = _checkpoint(folder / "tf1", given.size)
        megabytes = sum(file.stat().st_size for file in (folder / "tf1").glob("*.data*")) / 1e6
        times: dict[str, list[float]] = {"hanmo": [], "peer": []}
        memory: dict[str, float] = {"hanmo": 0.0, "peer": 0.0}
        for number in range(given.rounds):
            out = folder / f"out{number}"
            sides = {
                "hanmo": [sys.executable, "-m", "hanmo", "convert", checkpoint, out, "--to", "hf"]
            }
            if given.tensorflow:
                sides["peer"] = [given.tensorflow, "-c", _PEER, checkpoint, out]
            for side, command in sides.items():
                if side == "peer":
                    out.mkdir()
                seconds, peak = _run([str(part) for part in command])
                times[side].append(seconds)
                memory[side] = max(memory[side], peak)
                shutil.rmtree(out)
    ours = statistics.median(times["hanmo"])
    print(f"{megabytes:.0f} MB; hanmo: {ours:.2f} s, peak {memory['hanmo']:.0f} MB")
    result = {
        "checkpoint_mb": f"{megabytes:.0f}",
        "hanmo_s": f"{ours:.2f}",
        "hanmo_peak_mb": f"{memory['hanmo']:.0f}",
        "hanmo_peak_of_model": f"{memory['hanmo'] / megabytes:.2f}",
    }
    if times["peer"]:
        theirs = statistics.median(times["peer"])
        print(f"tensorflow: {theirs:.2f} s, peak {memory['peer']:.0f} MB")
        result |= {
            "tensorflow_s": f"{theirs:.2f}",
            "tensorflow_peak_mb": f"{memory['peer']:.0f}",
            "ratio": f"{theirs / ours:.2f}",
            "memory_ratio": f"{memory['peer'] / memory['hanmo']:.2f}",
        }
    print("RESULT", *(f"{key}={value}" for key, value in result.items()))


def _checkpoint(folder: Path, size: str) -> Path:
    """Make a checkpoint of a published shape, with its configuration."""
    import numpy as np

    from hanmo.convert.names import Rules, layouts
    from hanmo.convert.shapes import BEGINNINGS, shapes
    from hanmo.convert.tf1.writer import TensorSource, write_bundle
    from hanmo.model.config import SIZES

    config = SIZES[size]
    rules = Rules.of(layouts()[config.model_type].rules, layers=config.num_hidden_layers)
    rng = np.random.default_rng(0)
    sources = []
    for part in list(BEGINNINGS)[:4]:
        for name, shape in shapes(config, part, {}).items():
            rule = rules.by_ours[name]
            known = tuple(int(length or 0) for length in shape)
            there = known[::-1] if rule.turned else known
            make = lambda there=there: rng.standard_normal(there, np.float32)  # noqa: E731
            sources.append(TensorSource(rule.theirs, np.dtype(np.float32), there, make))
    folder.mkdir()
    write_bundle(folder / "bert_model.ckpt", sources)
    numbers = {
        key: getattr(config, key)
        for key in (
            *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
            *("intermediate_size", "max_position_embeddings", "type_vocab_size"),
        )
    }
    (folder / "bert_config.json").write_text(json.dumps(numbers | {"hidden_act": "gelu"}))
    return folder / "bert_model.ckpt"


def _run(command: list[str]) -> tuple[float, float]:
    """Run a command; returns seconds and its peak memory in MB."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    if status:
        sys.exit(f"{' '.join(command[:4])} …: status {status}\n{said.decode()}")
    return seconds, usage.ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
