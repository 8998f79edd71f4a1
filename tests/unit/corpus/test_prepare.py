"""hanmo prepare as a whole: what is kept, what is counted, and that workers change nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hanmo.commands.prepare import Config, run
from hanmo.core.artifact import building, read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.files import json_lines
from hanmo.corpus import spool

A = "黄河是中国第二长河，发源于青藏高原。"
B = "长江是亚洲第一长河，全长六千多公里。"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two files: five documents worth keeping, one for each of four reasons to drop."""
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.txt").write_text(
        f"{A}它流经九省。\n{B}\n\n{B}\n{A}\n\n短。\n\nOnly English text stands in this one.\n",
        encoding="utf-8",
    )
    texts = [f"{B} \n\u3000{A}", f"{A}二", f"{A}\ufffd", f"{A}三", f"{A}\u200b四", ""]
    lines = [json.dumps({"text": text, "key": i}) for i, text in enumerate(texts)]
    (folder / "b.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def documents(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("part-*.jsonl.zst")):
        yield from (record for _, record in json_lines(path))


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def test_what_is_kept_and_what_is_counted(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    counts = run(Config([raw], out, part_chars=1))
    assert list(documents(out)) == [
        {"id": "a-0", "text": f"{A}它流经九省。\n{B}", "source": "a.txt"},
        {"id": "a-1", "text": f"{B}\n{A}", "source": "a.txt"},
    ]
    assert counts == {
        "documents_in": 10,
        "kept": 2,
        "characters": len(A) * 2 + len(B) * 2 + 8,
        "parts": 2,
        "dropped_duplicate": 1,
        "dropped_broken-encoding": 1,
        "dropped_empty": 1,
        "dropped_too-short": 4,
        "dropped_too-few-chinese": 1,
        "files_paragraphs": 1,
        "files_json": 1,
        "invisible_characters": 2,
    }
    dropped = sum(n for name, n in counts.items() if name.startswith("dropped_"))
    assert counts["documents_in"] == counts["kept"] + dropped
    verify(out)
    assert dict(read_manifest(out, "corpus").counts) == counts


def test_options_are_heeded(raw: Path, tmp_path: Path) -> None:
    counts = run(
        Config([raw / "b.jsonl"], tmp_path / "out", min_chars=1, keep_duplicates=True, id_key="key")
    )
    assert [d["id"] for d in documents(tmp_path / "out")] == ["0", "1", "3", "4"]
    assert counts["kept"] == 4
    assert "dropped_duplicate" not in counts


def test_a_finished_folder_is_left_alone(raw: Path, tmp_path: Path) -> None:
    config = Config([raw], tmp_path / "out")
    counts = run(config)
    before = (tmp_path / "out" / "manifest.json").stat()
    assert run(replace(config, workers=2)) == counts
    after = (tmp_path / "out" / "manifest.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    with pytest.raises(UserError, match="min_chars was 20, now 1"):
        run(replace(config, min_chars=1))
    assert run(replace(config, min_chars=1, overwrite=True))["kept"] > counts["kept"]


def test_same_bytes_for_any_workers_groups_and_chunks(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config([raw], tmp_path / "one", min_chars=1, part_chars=60)
    run(config)
    monkeypatch.setattr(spool, "GROUP_BYTES", 1)
    run(replace(config, out=tmp_path / "two", workers=2))
    monkeypatch.setattr(spool, "CHUNK_CHARS", 1)
    run(replace(config, out=tmp_path / "three"))
    assert len(parts(tmp_path / "one")) > 2
    assert parts(tmp_path / "one") == parts(tmp_path / "two") == parts(tmp_path / "three")


def test_nothing_left_says_why_and_leaves_the_way_free(raw: Path, tmp_path: Path) -> None:
    config = Config([raw], tmp_path / "out", min_chars=1000)
    with pytest.raises(
        UserError, match=r"no document left of 10: dropped as 1 broken-encoding, 1 empty, 8 too-sh"
    ):
        run(config)
    assert run(replace(config, min_chars=1))["kept"] > 0


def test_bad_settings_and_bad_input(raw: Path, tmp_path: Path) -> None:
    config = Config([raw], tmp_path / "out")
    for changed, message in (
        (replace(config, part_chars=0), "--part-chars: got 0, expected 1 or more"),
        (replace(config, min_chars=-3), "--min-chars: got -3, expected 0 or more"),
        (replace(config, min_chinese=30), "--min-chinese: got 30, expected a share"),
        (replace(config, max_chars=10), r"--min-chars: got 20, expected at most --max-chars \(10"),
        (replace(config, out=raw / "out"), "lies inside the input folder"),
        (replace(config, text_key="body"), r"b\.jsonl:1: no key 'body'; keys present: text, key"),
    ):
        with pytest.raises(UserError, match=message):
            run(changed)


def test_bad_input_surfaces_from_a_worker(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "GROUP_BYTES", 1)
    (raw / "c.txt").write_bytes("中\n".encode() + b"\xd6\xd0\n")
    with pytest.raises(UserError, match=r"c\.txt:2: not UTF-8: byte 0xd6 at byte 4"):
        run(Config([raw], tmp_path / "out", workers=2))


def test_real_files(data_dir: Path, tmp_path: Path) -> None:
    """Published document counts of the data folder's README; kept plus dropped is all of them."""
    names = {"judgments.txt.xz": 1217, "wiki_zh.txt.xz": 2425}
    inputs = [data_dir / "raw" / name for name in names]
    counts = run(Config(inputs, tmp_path / "out"))
    assert counts["documents_in"] == sum(names.values())
    assert counts["kept"] >= 0.99 * counts["documents_in"]
    got = list(documents(tmp_path / "out"))
    assert len(got) == counts["kept"] == len({d["id"] for d in got})
    assert sum(len(d["text"]) for d in got) == counts["characters"]
    assert {d["source"] for d in got} == set(names)


def test_a_folder_of_hanmos_own_is_no_raw_text(raw: Path, tmp_path: Path) -> None:
    run(Config([raw], tmp_path / "corpus"))
    with pytest.raises(UserError, match="a folder of kind 'corpus' that hanmo made"):
        run(Config([tmp_path / "corpus"], tmp_path / "other"))


READER = """
from hanmo.corpus.reading import Row

SUFFIXES = (".x",)


def {name}(path, options):
    yield {item}
"""


@pytest.mark.parametrize(
    ("name", "item", "told"),
    [
        ("red", "Row(None, '一')", "the module has no 'read'; see CONTRIBUTING.md"),
        ("read", "(None, '一')", r"a\.x: the reader .* gave \(None.*; expected Row"),
        ("read", "Row(5, '一')", r"a\.x: the reader .* gave Row\(key=5.*; expected Row"),
        ("read", "Row('a', b'x')", r"a\.x: the reader .* gave Row.*; expected Row"),
        ("read", "7", r"a\.x: the reader .* gave 7; expected Row"),
    ],
)
def test_a_reader_that_breaks_its_contract(name: str, item: str, told: str, tmp_path: Path) -> None:
    code, file = tmp_path / "mine.py", tmp_path / "a.x"
    code.write_text(READER.format(name=name, item=item), encoding="utf-8")
    file.write_text("x")
    with pytest.raises(UserError, match=told):
        run(Config([file], tmp_path / "out", format=str(code)))


def test_a_readers_surrogates_are_replaced_in_ids_too(tmp_path: Path) -> None:
    code, file = tmp_path / "mine.py", tmp_path / "a.x"
    item = "Row('甲\\udc80', '黄河是中国第二长河。\\ud800')"
    code.write_text(READER.format(name="read", item=item), encoding="utf-8")
    file.write_text("x")
    run(Config([file], tmp_path / "out", format=str(code), min_chars=1, max_broken=1))
    [document] = documents(tmp_path / "out")
    assert document["id"] == "甲\ufffd"


def test_long_files_without_a_blank_line_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"第{i}条新闻说今天天气很好。\n" for i in range(150)), "utf-8")
    counts = run(Config([path], tmp_path / "one"))
    assert (counts["kept"], counts["files_without_blank_lines"]) == (1, 1)
    assert "give --layout lines" in capsys.readouterr().err
    counts = run(Config([path], tmp_path / "many", layout="lines", min_chars=1))
    assert counts["kept"] == 150
    assert "give --layout lines" not in capsys.readouterr().err


def test_where_nothing_can_be_read_the_mistake_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("黄河很长。\n", "utf-16")
    config = Config([path], tmp_path / "out", on_error="skip")
    with pytest.raises(UserError, match=r"could be read; the first mistake: a\.txt:1.*UTF-16"):
        run(config)
    (tmp_path / "b.txt").write_text("短。\n", "utf-8")
    config = replace(config, inputs=[path, tmp_path / "b.txt"])
    with pytest.raises(UserError, match=r"left of 2: dropped as .*; the first mistake: a\.txt:1"):
        run(config)


def test_a_repeated_command_tells_the_counts_in_the_same_order(raw: Path, tmp_path: Path) -> None:
    config = Config([raw], tmp_path / "out")
    assert list(run(config).items()) == list(run(config).items())


def test_another_kind_of_folder_is_told_without_its_settings(raw: Path, tmp_path: Path) -> None:
    with building(tmp_path / "out", kind="shards", config={"seed": 1}) as build:
        (build.dir / "00000.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"other settings \(kind 'shards', not 'corpus'\); "):
        run(Config([raw], tmp_path / "out"))
