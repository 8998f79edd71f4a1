"""Tokenising real Chinese text: hanmo beside transformers' BertTokenizer.

Both give ids and character spans of the same paragraphs, alternately, one thread each; the medians
are compared, and the ids must be equal. Needs the `dev` extra and a folder of real data.

    python bench/tokenizing.py ../shared/data --rounds 5
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, help="folder with vocab/vocab.txt and raw/wiki_zh.txt.xz"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-chars", type=int, default=1_000_000)
    options = parser.parse_args()

    from transformers import AutoTokenizer

    from hanmo.core.files import read_lines
    from hanmo.text.tokenizer import Tokenizer

    ours = Tokenizer.load(options.data / "vocab")
    with tempfile.TemporaryDirectory() as folder:
        ours.save(Path(folder))
        (Path(folder) / "config.json").write_text('{"model_type": "bert"}')
        theirs = AutoTokenizer.from_pretrained(folder, model_max_length=1 << 30)
    texts, n_chars = [], 0
    for _, line in read_lines(options.data / "raw" / "wiki_zh.txt.xz"):
        texts.append(line)
        n_chars += len(line)
        if n_chars >= options.max_chars:
            break

    def run_theirs() -> list[list[int]]:
        batch = theirs(texts, add_special_tokens=False, return_offsets_mapping=True)
        return batch["input_ids"]

    mine = [encoding.ids.tolist() for encoding in ours.encode_batch(texts)]  # warm-up, too
    if mine != run_theirs():
        raise SystemExit("the two tokenizers disagree")
    n_pieces = sum(map(len, mine))
    fast: list[float] = []
    slow: list[float] = []
    first = seconds(lambda: Tokenizer(ours.vocab).encode_batch(texts))
    for _ in range(options.rounds):
        fast.append(seconds(lambda: ours.encode_batch(texts)))
        slow.append(seconds(run_theirs))
    a, b = statistics.median(fast), statistics.median(slow)
    print(f"{len(texts):,} paragraphs, {n_chars:,} characters, {n_pieces:,} pieces; equal ids")
    print(f"hanmo         {n_pieces / a / 1e6:6.2f} M pieces/s (first use: {first:.2f} s)")
    print(f"transformers  {n_pieces / b / 1e6:6.2f} M pieces/s")
    print(
        f"RESULT tokenize_ratio={b / a:.1f} hanmo_pieces_per_second={n_pieces / a:.0f} "
        f"transformers_pieces_per_second={n_pieces / b:.0f}"
    )


if __name__ == "__main__":
    main()
