"""The corpus stages on real text: characters a processor second, wall time, and peak memory.

Wiki, news and technology texts are repeated, each copy with other document ids and a line of its
own, to the sizes asked for. Every stage is a process of its own, with --workers below it; processor
time, start-up included, and the memory of all its processes are the system's. Beside them
jieba.posseg on part of the same text, in turn with the stages. google-research/bert's
create_pretraining_data.py, which does not segment, makes 0.17 million characters a second (facts
measured elsewhere, not here).

    python bench/corpus.py DATA --mb 10 100 [--annotators crf jieba] [--keep FOLDER]
    python bench/corpus.py DATA --mb 1000 --annotators crf --workers 2
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

SOURCES = ("wiki_zh", "news_cctv", "tech_lctt")
ANNOTATORS = {
    "crf": ["--annotator", "crf"],
    "jieba": ["--annotator", "jieba"],
    "jieba-words": ["--annotator", "jieba", "--jieba.pos", "false"],
}


def main() -> None:
    """Measure every stage at every size and print the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with raw/wiki_zh.txt.xz and vocab/")
    parser.add_argument("--mb", type=int, nargs="+", default=[10, 100], help="MB of UTF-8 text")
    parser.add_argument("--annotators", nargs="+", choices=ANNOTATORS, default=[*ANNOTATORS])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the work instead of a temporary one")
    options = parser.parse_args()
    results: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = options.keep or Path(scratch)
        for mb in options.mb:
            results |= one_size(options, work / f"{mb}mb", mb)
    print("RESULT " + " ".join(f"{key}={value}" for key, value in results.items()))


def one_size(options: argparse.Namespace, work: Path, mb: int) -> dict[str, str]:
    """Run the road over so many MB."""
    work.mkdir(parents=True, exist_ok=True)
    raw = work / "raw.txt"
    # In a process of its own: a child's peak begins with what its parent holds.
    with ProcessPoolExecutor(1) as pool:
        n_chars = pool.submit(write_raw, options.data, raw, mb * 10**6).result()
    vocab = options.data / "vocab" / "vocab.txt"
    results = {f"chars_{mb}mb": str(n_chars)}

    def stage(name: str, *words: object) -> float:
        workers = ("--workers", str(options.workers))
        wall, seconds, mib = run("hanmo", *map(str, words), *workers, "--overwrite")
        rate = n_chars / seconds
        results[f"{name}_{mb}mb_chars_per_s"] = f"{rate:.0f}"
        results[f"{name}_{mb}mb_wall_s"] = f"{wall:.1f}"
        results[f"{name}_{mb}mb_peak_mib"] = f"{mib:.0f}"
        print(
            f"{mb} MB, {name}: {rate:,.0f} characters a processor second, {wall:.1f} s, "
            f"{mib:.0f} MiB",
            flush=True,
        )
        return seconds

    stage("prepare", "prepare", raw, "--out", work / "corpus")
    for name in options.annotators:
        sentences, shards = work / name, work / f"{name}-shards"
        annotator = ANNOTATORS[name]
        key = name.replace("-", "_")
        stage(f"annotate_{key}", "annotate", work / "corpus", "--out", sentences, *annotator)
        seconds = stage(f"encode_{key}", "encode", sentences, "--vocab", vocab, "--out", shards)
        n_pieces = json.loads((shards / "manifest.json").read_text())["counts"]["pieces"]
        results[f"encode_{key}_{mb}mb_pieces_per_s"] = f"{n_pieces / seconds:.0f}"
    rate = posseg(raw, 300_000)
    results[f"jieba_posseg_{mb}mb_chars_per_s"] = f"{rate:.0f}"
    print(f"{mb} MB, jieba.posseg: {rate:,.0f} characters a second", flush=True)
    return results


def documents(data: Path) -> Iterator[str]:
    """Yield the documents of the real texts, over and over, each copy with a line of its own."""
    from hanmo.core.files import read_lines
    from hanmo.corpus.layouts import cut, detect

    read = []
    for name in SOURCES:
        path = next((data / "raw").glob(f"{name}.txt*"))
        layout, _ = detect(read_lines(path), path)
        read += list(cut(read_lines(path), layout))
    copy = 0
    while True:
        yield from (text if not copy else f"第{copy}份抄本。\n{text}" for text in read)
        copy += 1


def write_raw(data: Path, path: Path, n_bytes: int) -> int:
    """Write so many bytes of text, a blank line between documents; returns the characters."""
    n_chars = written = 0
    with path.open("w", encoding="utf-8") as out:
        for text in documents(data):
            out.write(text + "\n\n")
            n_chars += len(text)
            written += len(text.encode())
            if written >= n_bytes:
                return n_chars
    return n_chars


def run(*words: str) -> tuple[float, float, float]:
    """Run a command; returns wall seconds, processor seconds and the peak of its memory in MiB.

    Memory is what all its processes hold together, looked at ten times a second; pages that they
    share are counted for each.
    """
    command = [sys.executable, "-m", *words]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    seconds = peak = 0.0
    while process.poll() is None:
        now, mib = _session(process.pid)
        seconds, peak = max(seconds, now), max(peak, mib)
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - begin, seconds, peak


def _session(leader: int) -> tuple[float, float]:
    """Return processor seconds and MiB of all processes of a session, dead children included."""
    ticks = pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == leader:
            ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
            pages += int(fields[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def posseg(raw: Path, n_chars: int) -> float:
    """Characters a processor second of jieba.posseg over the beginning of a text."""
    import jieba
    import jieba.posseg

    jieba.setLogLevel(40)
    jieba.initialize()
    with raw.open(encoding="utf-8") as lines:
        text = lines.read(n_chars)
    begin = time.process_time()
    for line in text.splitlines():
        for _ in jieba.posseg.cut(line):
            pass
    return len(text) / (time.process_time() - begin)


if __name__ == "__main__":
    main()
