"""Pieces a second of reading, corrupting and laying out batches, for every objective.

Runs in one process on one core, on real shards; with --peer beside transformers' collator, which
masks single pieces (it has no Chinese whole-word masking any more). Rounds are interleaved; medians
are quoted.

    python bench/masking.py SHARDS [--max-length 128] [--batch-size 256] [--rounds 7]
        [--synonyms FILE] [--peer]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

NAMES = ("mlm", "lert", "pert", "electra")


def main() -> None:
    """Measure and print the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=8, help="batches a round")
    parser.add_argument("--synonyms", help="measure mac too, with this file of Cilin's form")
    parser.add_argument("--peer", action="store_true", help="measure transformers too")
    options = parser.parse_args()

    from hanmo.core.memory import keep_freed_arrays
    from hanmo.data.batches import collate
    from hanmo.data.draws import Draws, keys
    from hanmo.data.sequences import plan_sequences, read_sequences
    from hanmo.data.shards import ShardSet
    from hanmo.objectives._objective import Corruptor, Vocabulary
    from hanmo.text.tokenizer import Tokenizer

    keep_freed_arrays()  # as a loader's worker does
    shards = ShardSet.open(options.shards)
    tokenizer = Tokenizer.load(options.shards)
    plan = plan_sequences(shards, max_length=options.max_length)
    order = np.random.default_rng(1).permutation(len(plan))
    places = [
        order[i * options.batch_size : (i + 1) * options.batch_size] for i in range(options.batches)
    ]
    n_pieces = int(sum(plan.lengths[place].sum() for place in places))
    read = [read_sequences(shards, plan.ranges(place)) for place in places]
    vocabulary = Vocabulary.of(tokenizer)
    corruptors = {name: Corruptor(name, {}, vocabulary) for name in NAMES}
    if options.synonyms:
        for fallback in ("random", "skip"):
            settings = {"synonyms": options.synonyms, "fallback": fallback}
            corruptors[f"mac_{fallback}"] = Corruptor("mac", settings, vocabulary)

    def draws(sequences, place) -> Draws:
        return Draws(keys(1, "corrupt", place), sequences.offsets)

    def corrupt(name: str) -> Callable[[], None]:
        def work() -> None:
            for sequences, place in zip(read, places, strict=True):
                corruptors[name].corrupt(sequences, draws(sequences, place))

        return work

    made = [corruptors["mlm"].corrupt(s, draws(s, p)) for s, p in zip(read, places, strict=True)]
    works: dict[str, Callable[[], None]] = {
        "read": lambda: [read_sequences(shards, plan.ranges(p), layers=()) for p in places],
        "read_labels": lambda: [read_sequences(shards, plan.ranges(p)) for p in places],
        **{name: corrupt(name) for name in corruptors},
        "pack": lambda: [
            collate(one, max_length=options.max_length, pad_id=0, pack=True) for one in made
        ],
    }
    if options.peer:
        works["transformers"] = peer(tokenizer, read[:1])
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(options.rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if number:
                seconds[name].append(time.process_time() - start)
    figures = {name: statistics.median(values) for name, values in seconds.items()}
    millions = {name: n_pieces / value / 1e6 for name, value in figures.items()}
    if options.peer:
        millions["transformers"] *= int(read[0].offsets[-1]) / n_pieces
    everything = figures["read"] + figures["mlm"] + figures["pack"]
    print(
        f"RESULT max_length={options.max_length} batch_size={options.batch_size} "
        + " ".join(f"{name}_mpieces_per_s={value:.2f}" for name, value in millions.items())
        + f" mlm_all_mpieces_per_s={n_pieces / everything / 1e6:.2f}"
    )


def peer(tokenizer, read) -> Callable[[], None]:
    """Return transformers' collator over the same sequences."""
    import tempfile

    from transformers import BertTokenizer, DataCollatorForLanguageModeling

    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        theirs = BertTokenizer.from_pretrained(folder)
    collator = DataCollatorForLanguageModeling(theirs, mlm_probability=0.15)
    samples = [
        {"input_ids": sequences[i].input_ids.tolist()}
        for sequences in read
        for i in range(len(sequences))
    ]
    return lambda: collator([dict(sample) for sample in samples])


if __name__ == "__main__":
    main()
