"""hanmo prepare with everything on: duplicates of all kinds, what is dropped, what is missing."""

import gzip
import json
import re
import resource
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.cli import main
from hanmo.commands import annotate, encode
from hanmo.commands import prepare as prepare_module
from hanmo.commands.prepare import Config, run
from hanmo.core.artifact import read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.files import json_lines
from hanmo.corpus import spool
from hanmo.corpus.choosing import repeated_ids

RIVER = (
    "黄河发源于青藏高原的巴颜喀拉山北麓，自西向东流经青海、四川、甘肃、宁夏、内蒙古、陕西、山西、河南、山东九个省区，"
    "最后在山东省东营市注入渤海。它全长约五千四百六十四公里，流域面积约七十五万平方公里，是中国第二长河，也是世界上含沙量最高的河流之一。"
    "历史上它多次决口和改道，两岸的人民世世代代修筑堤防，治理水患。"
)
OTHER = "长江是亚洲第一长河，全长六千多公里，流经十一个省市，在上海注入东海。"
PEARL = "珠江是华南最大的水系，由西江、北江、东江汇合而成，干支流全长两千多公里。"
LAKE = "青海湖是面积最大的内陆咸水湖，湖中的鸟岛每年春天有十万只候鸟前来筑巢。"
SHARED = "本文由编辑部整理，如有错误请来信指正，我们会尽快更正。"


def documents(folder: Path, pattern: str = "part-*") -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(f"{pattern}.jsonl.zst")):
        yield from (record for _, record in json_lines(path))


def written(folder: Path, name: str, texts: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.zst")}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    written(
        folder,
        "a.jsonl",
        [RIVER, f"{OTHER}\n{SHARED}", "短。", f"{RIVER[:200]}又有新说。", RIVER + "\n"],
    )
    written(
        folder,
        "b.jsonl",
        [f"{SHARED}\n{PEARL}", f"点击查看更多\n{LAKE}\n{SHARED}", SHARED, RIVER],
    )
    return folder


FULL: dict[str, Any] = {
    "near_duplicates": 0.8,
    "dedup_paragraphs": 20,
    "strip_boilerplate": True,
    "part_chars": 100,
}


def test_all_kinds_of_duplicates_and_where_they_go(raw: Path, tmp_path: Path) -> None:
    out, dropped = tmp_path / "out", tmp_path / "dropped"
    counts = run(Config([raw], out, dropped=dropped, **FULL))
    assert [(d["id"], d["text"]) for d in documents(out)] == [
        ("a-0", RIVER),
        ("a-1", f"{OTHER}\n{SHARED}"),
        ("b-0", PEARL),
        ("b-1", LAKE),
    ]
    facts = [(d["id"], d["reason"], d.get("kept")) for d in documents(dropped, "*")]
    assert sorted(facts) == [
        ("a-2", "too-short", None),
        ("a-3", "near-duplicate", "a-0"),
        ("a-4", "duplicate", "a-0"),
        ("b-2", "repeated-elsewhere", None),
        ("b-3", "duplicate", "a-0"),
    ]
    reasons = Counter(f"dropped_{reason}" for _, reason, _ in facts)
    assert {name: n for name, n in counts.items() if name.startswith("dropped_")} == reasons
    assert dict(read_manifest(dropped, "dropped").counts) == reasons
    assert counts["paragraphs_dropped_seen"] == 3
    assert counts["lines_dropped_call-to-click"] == 1
    assert counts["characters"] == sum(len(d["text"]) for d in documents(out))
    assert counts["documents_in"] == counts["kept"] + len(facts) == 9
    verify(out)
    verify(dropped)


def test_same_bytes_for_any_workers(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "GROUP_BYTES", 1)
    folders = []
    for workers in (1, 3):
        out, dropped = tmp_path / f"out{workers}", tmp_path / f"dropped{workers}"
        run(Config([raw], out, dropped=dropped, workers=workers, **FULL))
        folders.append((content(out), content(dropped)))
    assert folders[0] == folders[1]
    assert len(folders[0][0]) > 2 and len(folders[0][1]) > 2


@pytest.mark.slow
def test_ray_gives_the_same_bytes(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra hanmo[ray])")
    monkeypatch.setattr(spool, "GROUP_BYTES", 1)
    folders = []
    for executor in ("local", "ray"):
        out, dropped = tmp_path / f"out-{executor}", tmp_path / f"dropped-{executor}"
        run(Config([raw], out, dropped=dropped, workers=2, executor=executor, **FULL))
        folders.append((content(out), content(dropped)))
    assert folders[0] == folders[1]


def test_lines_of_many_documents_go_from_all(tmp_path: Path) -> None:
    texts = [f"本站首发\n{OTHER}{'第' * n}" for n in range(4)]
    path = written(tmp_path / "raw", "a.jsonl", texts)
    counts = run(Config([path], tmp_path / "out", max_line_documents=3))
    assert counts["paragraphs_dropped_frequent"] == 4
    assert all("本站首发" not in d["text"] for d in documents(tmp_path / "out"))
    counts = run(Config([path], tmp_path / "other", max_line_documents=4))
    assert "paragraphs_dropped_frequent" not in counts
    assert [d["text"] for d in documents(tmp_path / "other")] == texts


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=8))
@settings(deadline=None, max_examples=15)
def test_no_long_paragraph_is_lost_and_none_stays_twice(
    tmp_path_factory, rows: list[list[int]]
) -> None:
    pool = [chr(0x4E00 + n) * 25 for n in range(5)] + ["短句"]
    folder = tmp_path_factory.mktemp("property")
    texts = ["\n".join(pool[n] for n in row) for row in rows]
    config = Config([written(folder / "raw", "a.jsonl", texts)], folder / "out", max_repeated=1)
    wanted = {line for text in texts if len(text) >= 20 for line in text.split("\n")} - {"短句"}
    if not wanted:
        return
    run(replace(config, dedup_paragraphs=20))
    left = Counter(line for d in documents(folder / "out") for line in d["text"].split("\n"))
    assert {line: n for line, n in left.items() if line != "短句"} == dict.fromkeys(wanted, 1)


def test_skipped_mistakes_are_told_and_the_exit_code_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    written(raw, "a.jsonl", [OTHER, RIVER])
    with (raw / "a.jsonl").open("ab") as stream:
        stream.write(b"{no json\n\xff\xff\n")
    (raw / "b.txt.gz").write_bytes(gzip.compress(f"{OTHER}四\n\n{RIVER}四\n".encode() * 999)[:-9])
    for name in ("B", "C"):
        (raw / name).mkdir()
        (raw / name / "c.docx").write_bytes(b"x")
    (raw / "d.txt").write_text(f"{OTHER}五\n", encoding="utf-8")
    out = tmp_path / "out"
    words = ["prepare", str(raw), "--out", str(out)]
    assert main(words) == 2
    assert "c.docx: unknown suffix" in capfd.readouterr().err
    assert main(["prepare", str(raw / "a.jsonl"), "--out", str(out)]) == 2
    assert re.search("a.jsonl:3: not JSON: .*go on.*--on-error skip", capfd.readouterr().err)
    assert main([*words, "--on-error", "skip", "--json"]) == 3
    stdout, stderr = capfd.readouterr()
    counts = json.loads(stdout)
    names = ("dropped_unreadable", "files_incomplete", "files_unknown")
    assert [counts[name] for name in names] == [2, 1, 2]
    assert "not all could be read (2 dropped_unreadable, 1 files_incomplete" in stderr
    missing = [record for _, record in json_lines(out / "missing.jsonl")]
    assert [(m["source"], m["documents"]) for m in missing] == [
        ("B/c.docx", None),
        ("C/c.docx", None),
        ("a.jsonl", 1),
        ("a.jsonl", 1),
        ("b.txt.gz", None),
    ]
    assert missing[1]["error"].startswith("C/c.docx: unknown suffix")
    assert missing[2]["error"].startswith("a.jsonl:3: not JSON")
    assert "damaged archive after line" in missing[4]["error"]
    assert {d["source"] for d in documents(out)} == {"a.jsonl", "b.txt.gz", "d.txt"}
    verify(out)
    assert main([*words, "--on-error", "skip"]) == 3  # finished, and something is still missing


def test_a_document_of_100_mb_is_dropped_and_not_cleaned(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.txt").write_bytes(b"x" * (100 << 20) + f"\n\n{OTHER}\n".encode())
    with pytest.raises(UserError, match=r"a\.txt:1: a line of more than .*--max-line-mib, now 8"):
        run(Config([raw], tmp_path / "out", layout="paragraphs"))
    counts = run(Config([raw], tmp_path / "out", layout="paragraphs", max_line_mib=101))
    assert (counts["dropped_too-long"], counts["kept"]) == (1, 1)


def test_traditional_becomes_simplified(tmp_path: Path) -> None:
    pytest.importorskip("opencc", reason="hanmo[opencc] is not installed")
    path = written(
        tmp_path / "raw", "a.jsonl", ["黃河發源於青藏高原，頭髮與發現，乾隆與乾燥的後果。", OTHER]
    )
    counts = run(Config([path], tmp_path / "out", opencc="t2s"))
    assert next(documents(tmp_path / "out"))["text"].startswith(
        "黄河发源于青藏高原，头发与发现，乾隆与干燥"
    )
    assert counts["converted"] == 1
    with pytest.raises(UserError, match="--opencc: OpenCC has no configuration 't2x'"):
        run(Config([path], tmp_path / "other", opencc="t2x"))


def test_without_opencc_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from hanmo.corpus import scripts

    scripts.converter.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", None)
    with pytest.raises(UserError, match=r"pip install 'hanmo\[opencc\]'"):
        run(Config([tmp_path], tmp_path / "out", opencc="t2s"))


def test_settings_that_do_not_go_together(raw: Path, tmp_path: Path) -> None:
    config = Config([raw], tmp_path / "out")
    for changed, message in (
        (replace(config, near_duplicates=1), "--near-duplicates: got 1, expected 0"),
        (replace(config, near_duplicates=0.8, near_buckets=1), "--near-buckets: got 1"),
        (replace(config, near_duplicates=0.8, keep_duplicates=True), "give one of them"),
        (replace(config, dedup_paragraphs=10), r"got 10, expected at least --min-chars \(20\)"),
        (replace(config, dropped=tmp_path / "out" / "dropped"), "one in the other"),
        (replace(config, dropped=raw / "dropped"), "--dropped .* lies inside the input folder"),
        (replace(config, format="docx"), "readers: no 'docx'"),
    ):
        with pytest.raises(UserError, match=message):
            run(changed)


def test_dropped_documents_are_as_old_as_the_corpus(raw: Path, tmp_path: Path) -> None:
    config = Config([raw], tmp_path / "out", dropped=tmp_path / "dropped")
    counts = run(config)
    assert run(config) == counts
    for name in ("else", "dropped"):
        with pytest.raises(UserError, match=r"(is finished, and dropped|other settings)"):
            run(replace(config, dropped=tmp_path / name, min_chars=20 + (name == "dropped")))
        assert not list(tmp_path.glob("*.partial"))


def test_a_run_that_met_a_mistake_goes_on_past_it(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    written(raw, "a.jsonl", [OTHER, RIVER])
    written(raw, "b.jsonl", [f"{RIVER}二"])
    with (raw / "b.jsonl").open("ab") as stream:
        stream.write(b"{no json\n")
    config = Config([raw / "a.jsonl", raw / "b.jsonl"], tmp_path / "out", format="json")
    # Groups of a size that each file is one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hanmo.corpus.spool.GROUP_BYTES", 1)
        with pytest.raises(UserError, match="not JSON"):
            run(config)
        kept = tmp_path / "out.partial" / ".state" / "1-clean" / "completions" / "00000"
        made = kept.stat().st_mtime_ns
        with pytest.raises(UserError, match="was made without it, and what it dropped is gone"):
            run(replace(config, on_error="skip", dropped=tmp_path / "dropped"))
        assert kept.stat().st_mtime_ns == made
        with pytest.raises(UserError, match="other settings"):
            run(replace(config, on_error="skip", min_chars=3))
        counts = run(replace(config, on_error="skip"))
    assert (counts["kept"], counts["dropped_unreadable"], counts["exit_code"]) == (3, 1, 3)


def test_a_reader_of_ones_own_is_an_input(raw: Path, tmp_path: Path) -> None:
    reader = tmp_path / "own.py"
    code = "from hanmo.corpus.readers.json import SUFFIXES, read\n"
    reader.write_text(code, encoding="utf-8")
    config = Config([raw], tmp_path / "out", format=str(reader))
    run(config)
    reader.write_text(code + "# changed\n", encoding="utf-8")
    with pytest.raises(UserError, match="the input reader holds something else"):
        run(config)


def test_real_text_has_hardly_any_boilerplate_or_misread_lines(
    data_dir: Path, tmp_path: Path
) -> None:
    inputs = [data_dir / "raw" / f"{name}.txt.xz" for name in ("judgments", "wiki_zh")]
    plain = run(Config(inputs, tmp_path / "plain"))
    counts = run(Config(inputs, tmp_path / "out", strip_boilerplate=True, near_duplicates=0.8))
    assert sum(n for name, n in counts.items() if name.startswith("lines_dropped")) < 10
    assert "dropped_broken-encoding" not in counts
    assert counts["kept"] + counts.get("dropped_near-duplicate", 0) == plain["kept"]


def test_an_id_that_comes_again_gets_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "GROUP_BYTES", 1)
    folder = tmp_path / "raw"
    folder.mkdir()
    for name, rows in (
        ("a.jsonl", [("x", RIVER), ("x", OTHER), ("y", PEARL)]),
        ("b.jsonl", [("y", OTHER), ("x", LAKE), ("z", SHARED)]),
    ):
        lines = [json.dumps({"id": key, "text": text}, ensure_ascii=False) for key, text in rows]
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    counts = run(Config([folder], tmp_path / "out", id_key="id"))
    # The second text of OTHER is a duplicate and does not count.
    assert [d["id"] for d in documents(tmp_path / "out")] == ["x", "x#2", "y", "x#3", "z"]
    assert counts["repeated_ids"] == 2
    assert "2 documents have the id of an earlier one" in capsys.readouterr().err
    annotate.run(annotate.Config([tmp_path / "out"], tmp_path / "said", annotator="jieba"))
    vocab = tmp_path / "vocab.txt"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "的"]
    vocab.write_text("\n".join(pieces) + "\n", encoding="utf-8")
    made = encode.run(encode.Config(tmp_path / "said", out=tmp_path / "shards", vocab=vocab))
    assert made["documents"] == 5


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=30),
)
def test_repeated_ids_are_those_that_stay_behind_another(rows: list[tuple[int, bool]]) -> None:
    names = np.array([name for name, _ in rows], dtype=np.uint64)
    keep = np.array([kept for _, kept in rows], dtype=bool)
    seen: Counter[int] = Counter()
    expected = []
    for place, (name, kept) in enumerate(rows):
        seen[name] += kept
        if kept and seen[name] > 1:
            expected.append(place)
    assert repeated_ids(names, keep).tolist() == expected


def test_many_groups_need_few_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "GROUP_BYTES", 1)
    folder = tmp_path / "raw"
    for number in range(120):
        written(folder, f"{number}.jsonl", [f"第{number}天，{OTHER}"])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 40, hard)
    )
    try:
        counts = run(Config([folder], tmp_path / "out", near_duplicates=0.8, near_buckets=3))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert counts["documents_in"] == 120


def test_a_run_of_duplicates_is_put_aside_in_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "CHUNK_CHARS", 500)
    path = written(tmp_path / "raw", "a.jsonl", [PEARL, *[OTHER] * 60, LAKE])
    out, dropped = tmp_path / "out", tmp_path / "dropped"
    run(Config([path], out, dropped=dropped, part_chars=30))
    assert [d["text"] for d in documents(out)] == [PEARL, OTHER, LAKE]
    aside = list(documents(dropped, "repeated-*"))
    assert len(aside) == 59
    assert {d["kept"] for d in aside} == {"a-1"}
    assert len(list(dropped.glob("repeated-000000-*"))) > 3


def test_a_folder_that_names_documents_may_not_change_its_name(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, "x.jsonl", [f"{name}，{OTHER}"]) for name in "ab"]
    config = Config(paths, tmp_path / "out")
    run(config)
    (tmp_path / "a").rename(tmp_path / "c")
    with pytest.raises(UserError, match=r"input 000000 x\.jsonl as c-x is new"):
        run(replace(config, inputs=[tmp_path / "c" / "x.jsonl", paths[1]]))


def test_large_files_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "LARGE_BYTES", 1000)
    written(tmp_path / "raw", "a.jsonl", [OTHER])
    written(tmp_path / "raw", "b.jsonl", [RIVER] * 3)
    run(Config([tmp_path / "raw"], tmp_path / "out", workers=2))
    said = capsys.readouterr().err
    assert "1 files of" in said and "b.jsonl" in said


def test_an_added_number_is_no_other_documents_id(tmp_path: Path) -> None:
    names = ["x", "x", "x#2", "x", "x#2", "y"]
    lines = [
        json.dumps({"id": name, "text": f"第{number}个，{OTHER}"}, ensure_ascii=False)
        for number, name in enumerate(names)
    ]
    again = json.dumps({"id": "z", "text": f"第3个，{OTHER}"}, ensure_ascii=False)
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*lines, again]), encoding="utf-8")
    out, dropped = tmp_path / "out", tmp_path / "dropped"
    counts = run(Config([path], out, id_key="id", dropped=dropped))
    found = [d["id"] for d in documents(out)]
    assert found == ["x", "x#3", "x#2", "x#4", "x#2#2", "y"]
    assert counts["repeated_ids"] == 3
    assert [(d["id"], d["kept"]) for d in documents(dropped, "repeated-*")] == [("z", "x#4")]


@given(st.lists(st.sampled_from(["x", "x#2", "x#3", "x#2#2", "y"]), min_size=1, max_size=9))
@settings(deadline=None, max_examples=15)
def test_ids_of_a_corpus_are_unique(tmp_path_factory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("ids")
    lines = [
        json.dumps({"id": name, "text": f"第{number}个，{OTHER}"}, ensure_ascii=False)
        for number, name in enumerate(names)
    ]
    (folder / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run(Config([folder / "a.jsonl"], folder / "out", id_key="id"))
    found = [d["id"] for d in documents(folder / "out")]
    assert len(set(found)) == len(names)
    assert all(
        one == name or one.startswith(f"{name}#") for one, name in zip(found, names, strict=True)
    )
