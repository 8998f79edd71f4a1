"""Start-up: `hanmo --help` as a whole process, beside an empty Python and one that imports torch.

The three run in turn, after one round that warms the disk cache; wall times, medians. Help must
come in under half a second, so it may import neither torch nor any command.

    python bench/startup.py --rounds 9
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    script = Path(sys.executable).with_name("hanmo")
    hanmo = [str(script)] if script.is_file() else [sys.executable, "-m", "hanmo"]
    commands = {
        "help": [*hanmo, "--help"],
        "python": [sys.executable, "-c", "pass"],
        "torch": [sys.executable, "-c", "import torch"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(options.rounds + 1):
        for name, command in commands.items():
            spent = seconds(command)
            if turn:
                times[name].append(spent)
    medians = {name: statistics.median(spent) for name, spent in times.items()}
    for name, spent in times.items():
        print(f"{name:7} {medians[name]:6.3f} s  ({min(spent):.3f} to {max(spent):.3f})")
    print("RESULT", *(f"{name}_seconds={median:.3f}" for name, median in medians.items()))


if __name__ == "__main__":
    main()
