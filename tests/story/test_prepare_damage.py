"""hanmo prepare on text that a crawl leaves behind: damage is named, the rest is made.

Each run is a process of its own, as a user starts it.
"""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from hanmo.core.artifact import verify
from hanmo.core.files import MEBIBYTE, json_lines
from process_cases import disk

FULL = ["--near-duplicates", "0.8", "--dedup-paragraphs", "20", "--max-line-documents", "50"]
FULL += ["--strip-boilerplate", "--part-chars", "20000"]
# Runs a command and adds its peak memory: KiB, as Linux counts it.
MEASURED = """
import resource, sys
from hanmo.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def sentences(n: int, seed: int) -> list[str]:
    """Documents of random characters, none like another."""
    rng = np.random.default_rng(seed)
    characters = np.array([chr(code) for code in range(0x4E00, 0x4E00 + 2000)])
    return ["".join(rng.choice(characters, size=60)) + "。" for _ in range(n)]


def as_jsonl(texts: list[str], padding: int = 0) -> bytes:
    pad = {"pad": "x" * padding} if padding else {}
    lines = (json.dumps({"text": text, **pad}, ensure_ascii=False) + "\n" for text in texts)
    return "".join(lines).encode()


def hanmo(*words: object, program: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(program or ["-m", "hanmo"]), "prepare", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def documents(folder: Path) -> dict[str, str]:
    parts = sorted(folder.glob("part-*"))
    return {r["id"]: r["text"] for part in parts for _, r in json_lines(part)}


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "manifest.json"}


def damaged_parquet(path: Path, texts: list[str]) -> None:
    """Three row groups, the second one damaged."""
    table = pyarrow.table({"text": texts})
    parquet.write_table(table, path, row_group_size=10, write_page_checksum=True)
    with parquet.ParquetFile(path) as file:
        column = file.metadata.row_group(1).column(0)
    raw = bytearray(path.read_bytes())
    raw[column.dictionary_page_offset + column.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(raw)


def write_crawl(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(as_jsonl(sentences(30, 1)))
    two = sentences(2, 2)
    mixed = [two[0].encode(), b"", "会议由校长主持，大家发表了意见。".encode("gb18030"), b""]
    (folder / "mixed.txt").write_bytes(b"\n".join([*mixed, two[1].encode()]))
    one, two_, three = sentences(3, 3)
    texts = [
        f"\ufeff{one[:30]}\u200b\u200d{one[30:]}\x07",
        f"{two_}\ud800\ud801",
        three + "\x00" * 9,
    ]
    lines = (json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "invisible.jsonl").write_text("".join(lines), encoding="ascii")
    damaged_parquet(folder / "table.parquet", sentences(30, 4))
    packed = gzip.compress(as_jsonl(sentences(4000, 5)))
    (folder / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    raw = zstandard.ZstdCompressor(write_checksum=True).compress(as_jsonl(sentences(9000, 6)))
    broken = bytearray(raw)
    middle = slice(len(raw) // 2, len(raw) // 2 + 64)
    broken[middle] = bytes(64)
    (folder / "broken.jsonl.zst").write_bytes(broken)
    (folder / "noise.jsonl.xz").write_bytes(os.urandom(500))
    (folder / "slides.pptx").write_bytes(b"PK")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl") / "raw"
    write_crawl(folder)
    return folder


def test_damage_costs_what_is_damaged_and_is_named(crawl: Path, tmp_path: Path) -> None:
    done = hanmo(crawl, "--out", tmp_path / "strict")
    assert done.returncode == 2
    assert not (tmp_path / "strict").exists()

    words = [crawl, "--on-error", "skip", "--json", *FULL]
    folders = []
    for workers in (1, 3):
        out, dropped = tmp_path / f"out{workers}", tmp_path / f"dropped{workers}"
        done = hanmo(*words, "--workers", workers, "--out", out, "--dropped", dropped)
        assert done.returncode == 3, done.stderr
        verify(out)
        verify(dropped)
        folders.append((content(out), content(dropped), json.loads(done.stdout)))
    assert folders[0] == folders[1]

    counts, out = folders[0][2], tmp_path / "out1"
    lost = [(m["source"], m["documents"], m["error"]) for _, m in json_lines(out / "missing.jsonl")]
    assert [(source, n) for source, n, _ in lost] == [
        ("slides.pptx", None),
        ("broken.jsonl.zst", None),
        ("cut.jsonl.gz", None),
        ("mixed.txt", 1),
        ("noise.jsonl.xz", None),
        ("table.parquet", 10),
    ]
    messages = [error for _, _, error in lost]
    assert re.match(r"slides\.pptx: unknown suffix", messages[0])
    for message in messages[1:3]:
        found = re.search(r"damaged archive after line ([\d,]+) \(", message)
        assert found is not None and int(found[1]) > 1000, "what came before it was read"
    assert re.match(r"mixed\.txt:3: not UTF-8: .*reads as GB18030", messages[3])
    assert re.match(r"table\.parquet: damaged after row 10 \(.*10 rows of row group 1", messages[5])
    assert (counts["dropped_unreadable"], counts["files_incomplete"]) == (11, 3)
    assert counts["files_unknown"] == 1
    dropped_counts = sum(n for name, n in counts.items() if name.startswith("dropped_"))
    assert counts["documents_in"] == counts["kept"] + dropped_counts

    kept = documents(out)
    assert {name.rpartition("-")[0] for name in kept} == {
        *("a", "broken", "cut", "invisible", "mixed", "table")
    }
    assert sorted(name for name in kept if name.startswith("table")) == sorted(
        f"table-{n}" for n in (*range(10), *range(20, 30))
    )
    assert kept["invisible-0"] == sentences(3, 3)[0]
    assert {"invisible-1", "invisible-2"}.isdisjoint(kept)  # broken encoding, control characters
    assert (counts["dropped_broken-encoding"], counts["dropped_control-characters"]) == (1, 1)


def peak(*words: object) -> tuple[dict[str, Any], int]:
    """Run a command that goes through; its counts and its peak memory in bytes."""
    done = hanmo(*words, "--json", program=["-c", MEASURED])
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout), int(done.stderr.splitlines()[-1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux does")
def test_a_line_of_100_mb_needs_no_more_memory_than_the_longest_one_accepted(
    tmp_path: Path,
) -> None:
    """64 MiB and a copy for JSON, 8 MiB for text; four times the length changes nothing."""
    peaks = {}
    for size in (0, 100, 400):
        folder = tmp_path / str(size)
        folder.mkdir()
        for name, head, tail in (
            ("a.jsonl.gz", b'{"text": "', b'"}\n'),
            ("b.txt.gz", b"", b"\n\n"),
        ):
            with gzip.open(folder / name, "wb", compresslevel=1) as stream:
                if size:
                    stream.write(head)
                    for _ in range(size):
                        stream.write("长".encode() * (MEBIBYTE // 3))
                    stream.write(tail)
                good = sentences(3, len(name))
                stream.write(as_jsonl(good) if head else "\n\n".join(good).encode())
        words = [folder, "--layout", "paragraphs", "--on-error", "skip"]
        counts, peaks[size] = peak(*words, "--out", tmp_path / f"out{size}")
        assert counts["kept"] == 6
        assert counts.get("dropped_unreadable", 0) == (2 if size else 0)
        if size:
            lost = [m["error"] for _, m in json_lines(tmp_path / f"out{size}" / "missing.jsonl")]
            assert re.match(r"a\.jsonl\.gz:1: a line of more than 67,108,864 bytes", lost[0])
            assert re.match(r"b\.txt\.gz:1: a line of more than 8,388,608 bytes", lost[1])
    assert peaks[100] < peaks[0] + 200 * MEBIBYTE
    assert peaks[400] < peaks[100] + 16 * MEBIBYTE


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux does")
def test_a_document_without_end_is_not_held_whole(tmp_path: Path) -> None:
    peaks = {}
    for size in (1, 100):
        path = tmp_path / f"{size}.txt"
        with path.open("wb") as stream:
            for _ in range(size * 32):
                stream.write("长".encode() * (10 << 10) + b"\n")
            stream.write(f"\n{sentences(1, 7)[0]}\n".encode())
        words = [path, "--layout", "paragraphs", "--max-chars", "100000"]
        counts, peaks[size] = peak(*words, "--out", tmp_path / f"out{size}")
        assert (counts["dropped_too-long"], counts["kept"]) == (1, 1)
    assert peaks[100] < peaks[1] + 32 * MEBIBYTE


# Workers out of memory, a full disk

HUNGRY = '''
"""JSON lines, but what is called victim kills its process, or asks for too much memory."""
import os, signal
from pathlib import Path
from hanmo.corpus.readers.json import SUFFIXES, read as read_json

MENDED = Path(__file__).with_suffix(".mended").exists()

def read(path, options):
    for number, item in enumerate(read_json(path, options)):
        if number == 5 and path.name == "victim.jsonl" and not MENDED:
            if HOW == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError
        yield item
'''


@pytest.mark.parametrize(("how", "workers"), [("kill", 3), ("memory", 3), ("memory", 1)])
def test_a_worker_out_of_memory_costs_its_files_and_names_them(
    tmp_path: Path, how: str, workers: int
) -> None:
    raw, reader = tmp_path / "raw", tmp_path / "hungry.py"
    raw.mkdir()
    for number, name in enumerate(("a", "b", "victim", "z")):
        # Each file is a task of its own.
        (raw / f"{name}.jsonl").write_bytes(as_jsonl(sentences(300, number), padding=8000))
        assert (raw / f"{name}.jsonl").stat().st_size > 2 * MEBIBYTE
    words = [raw, "--format", reader, "--workers", workers]

    reader.write_text(f"HOW = {how!r}\n{HUNGRY}")
    done = hanmo(*words, "--out", tmp_path / "out")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert re.match(rf"hanmo: {re.escape(str(raw / 'victim.jsonl'))}: ", last), last
    assert re.search("memory ran out.*fewer workers.*finished tasks are kept", last)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    state = tmp_path / "out.partial" / ".state" / "1-clean"
    assert len(list((state / "completions").iterdir())) == 3, "the others went on"
    reader.with_suffix(".mended").touch()  # not in its code, which is an input
    assert hanmo(*words, "--out", tmp_path / "out").returncode == 0
    assert hanmo(*words, "--out", tmp_path / "whole").returncode == 0
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four MiB."""
    with disk(tmp_path / "disk", 4) as folder:
        yield folder


def test_a_disk_that_is_full_again_and_again(tmp_path: Path, small_disk: Path) -> None:
    """Each run gets further; the last one has room, and makes what an undisturbed one makes."""
    raw = tmp_path / "raw"
    raw.mkdir()
    texts = sentences(4000, 8)
    texts += [f"新{text}" for text in texts[::5]]
    (raw / "a.jsonl").write_bytes(as_jsonl(texts))
    (raw / "b.jsonl").write_bytes(as_jsonl([f"{text}\n{texts[9]}" for text in sentences(900, 9)]))
    words = [raw, *FULL]
    whole = [tmp_path / "whole", tmp_path / "whole-dropped"]
    assert hanmo(*words, "--out", whole[0], "--dropped", whole[1]).returncode == 0
    broken = [small_disk / "out", small_disk / "dropped"]
    ballast = small_disk / "ballast"
    with ballast.open("wb") as stream:
        stream.truncate(0)
    codes = []
    for free in range(100, 4001, 500):  # KiB
        ballast.unlink(missing_ok=True)
        used = sum(p.stat().st_size for p in small_disk.rglob("*") if p.is_file()) >> 10
        ballast.write_bytes(bytes(max(0, 4000 - free - used) << 10))
        done = hanmo(*words, "--workers", 2, "--out", broken[0], "--dropped", broken[1])
        codes.append(done.returncode)
        if done.returncode == 0:
            break
        assert done.returncode == 2, done.stderr
        last = done.stderr.splitlines()[-1]
        assert re.search(r"[Nn]o space left", last) and str(small_disk) in last, last
        assert re.search("make room and run again|free some space and run", last), last
    assert codes[-1] == 0
    assert len(codes) > 3
    assert [content(folder) for folder in broken] == [content(folder) for folder in whole]
