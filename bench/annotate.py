"""Annotating real Chinese text: the crf annotator beside jieba.posseg, one core.

Both work on the same sentences of Chinese Wikipedia, chunk by chunk and in turn, so that what else
the machine does hits both; processor time is counted, and the median chunk is compared.
jieba.posseg gives words and parts of speech only; crf also gives entities and relations. Needs the
`dev` extra and a folder of real data.

    python bench/annotate.py ../shared/data --chunks 9
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

# All layers first: it meets the new words of a chunk, whose scores are then kept.
STEPS = (("pos", "ner", "dep"), (), ("pos",), ("ner",), ("dep",))


def sentences(path: Path, max_chars: int) -> list[str]:
    from hanmo.core.files import read_lines
    from hanmo.text.sentences import split_sentences

    texts: list[str] = []
    n_chars = 0
    for _, line in read_lines(path):
        for start, end in split_sentences(line):
            texts.append(line[start:end])
            n_chars += end - start
        if n_chars >= max_chars:
            break
    return texts


def speed(work: Callable[[list[str]], object], texts: list[str]) -> float:
    start = time.process_time()
    work(texts)
    return sum(map(len, texts)) / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with raw/wiki_zh.txt.xz")
    parser.add_argument("--model", type=Path, default=None, help="another model folder")
    parser.add_argument("--chunks", type=int, default=9)
    parser.add_argument("--max-chars", type=int, default=270_000)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    import jieba
    import jieba.posseg

    from hanmo.annotate.annotators.crf import Annotator

    jieba.setLogLevel(40)
    texts = sentences(options.data / "raw" / "wiki_zh.txt.xz", options.max_chars)
    size = -(-len(texts) // options.chunks)
    chunks = [list(islice(texts, i, i + size)) for i in range(0, len(texts), size)]
    names = ["+".join(("words", *layers)) for layers in STEPS]
    works: dict[str, Callable[[list[str]], object]] = {
        name: Annotator(model=options.model, layers=layers).annotate
        for name, layers in zip(names, STEPS, strict=True)
    }
    works["jieba.posseg"] = lambda batch: [jieba.posseg.lcut(text) for text in batch]
    for work in works.values():  # dictionaries and models are loaded here
        work(chunks[0][:200])
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for chunk in chunks:
        for name, work in works.items():
            speeds[name].append(speed(work, chunk))
    middle = {name: statistics.median(values) for name, values in speeds.items()}
    ratio = statistics.median(
        mine / theirs for mine, theirs in zip(speeds[names[0]], speeds["jieba.posseg"], strict=True)
    )
    print(f"{len(texts):,} sentences, {sum(map(len, texts)):,} characters, {len(chunks)} chunks")
    for name, value in middle.items():
        print(f"{name:20} {value:10,.0f} chars/s  (best chunk {max(speeds[name]):10,.0f})")
    print(f"RESULT crf_chars_per_s={middle[names[0]]:.0f} ratio_vs_jieba_posseg={ratio:.2f}")


if __name__ == "__main__":
    main()
