"""Resident memory of the loader over shards, and over ten times as many.

The shards are copied (hard links) until there are ten times as many; each corpus is planned and a
number of batches is made in a process of its own. Anonymous memory is what the process owns;
pages of mapped files come and go with what else the machine does.

    python bench/memory.py SHARDS [--times 10] [--batches 200]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import sys
from pathlib import Path
from hanmo.data.loader import Loader
from hanmo.data.sequences import plan_sequences
from hanmo.data.shards import ShardSet
from hanmo.objectives._objective import Corruptor, Vocabulary
from hanmo.text.tokenizer import Tokenizer

def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024

folder, n = Path(sys.argv[1]), int(sys.argv[2])
shards = ShardSet.open(folder, verify=False)
corruptor = Corruptor("mlm", {}, Vocabulary.of(Tokenizer.load(folder)))
before = memory("RssAnon")
plan = plan_sequences(shards, max_length=128, scratch=folder.parent)
loader = Loader(plan, corruptor, batch_size=64, max_length=128, seed=1)
for _ in loader.batches(0, n):
    pass
print(shards.n_pieces, len(plan), before, memory("RssAnon"), memory("RssFile"))
"""


def main() -> None:
    """Measure and print the RESULT line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--batches", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.shards.parent) as made:
        large = multiply(options.shards, Path(made) / "shards", options.times)
        one, many = (measure(folder, options.batches) for folder in (options.shards, large))
    print(
        f"RESULT pieces={one[0]:.0f} anonymous_mib={one[3]:.0f} file_mib={one[4]:.0f} "
        f"many_pieces={many[0]:.0f} many_anonymous_mib={many[3]:.0f} many_file_mib={many[4]:.0f} "
        f"ratio={many[3] / one[3]:.3f}"
    )


def multiply(folder: Path, goal: Path, times: int) -> Path:
    """Make a folder of `times` as many shards, as hard links."""
    goal.mkdir()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    stems = sorted(name.removesuffix(".bin") for name in manifest["files"] if ".bin" in name)
    files = {}
    for name, facts in manifest["files"].items():
        stem, _, suffix = name.partition(".")
        copies = range(times) if stem in stems else range(1)
        for copy in copies:
            new = f"{copy * len(stems) + stems.index(stem):05d}.{suffix}" if stem in stems else name
            (goal / new).hardlink_to(folder / name)
            files[new] = facts
    (goal / "manifest.json").write_text(json.dumps({**manifest, "files": files}), encoding="utf-8")
    return goal


def measure(folder: Path, n_batches: int) -> list[float]:
    """Return pieces, sequences, and MiB before planning, after training, of files."""
    line = [sys.executable, "-c", PROGRAM, str(folder), str(n_batches)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


if __name__ == "__main__":
    main()
