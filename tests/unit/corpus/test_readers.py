"""The formats that documents come in: what was written is read; a mistake costs what it must."""

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hanmo.core.errors import MissingLibraryError, UserError
from hanmo.corpus.documents import Document, read_documents, resolve
from hanmo.corpus.inputs import find_inputs
from hanmo.corpus.reading import ReadOptions, Unreadable

TEXTS = ["黄河是中国第二长河。", "长江是亚洲第一长河。", "珠江在南方。"]


def read(path: Path, **options: Any) -> list[Document | Unreadable]:
    [file] = find_inputs([path])
    resolved, _ = resolve(file, ReadOptions(**options))
    return list(read_documents(file, resolved))


def texts(found: list[Document | Unreadable]) -> list[str | None]:
    return [item.text if isinstance(item, Document) else None for item in found]


def errors(found: list[Document | Unreadable]) -> list[str]:
    return [str(item.error) for item in found if isinstance(item, Unreadable)]


# CSV and TSV


@given(
    st.lists(st.tuples(st.integers(0, 99), st.text('甲,"\n\t a', min_size=1)), min_size=1),
    st.sampled_from([".csv", ".tsv"]),
)
@settings(deadline=None, max_examples=30)
def test_a_table_comes_back(tmp_path_factory, rows: list[tuple[int, str]], suffix: str) -> None:
    path = tmp_path_factory.mktemp("csv") / f"a{suffix}"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="," if suffix == ".csv" else "\t")
        writer.writerows([("id", "text"), *rows])
    found = read(path, id_key="id")
    assert [(d.id, d.text) for d in found if isinstance(d, Document)] == [
        (str(number), text) for number, text in rows
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"a\.csv: no header line"),
        ("id,body\n1,二\n", r"a\.csv:1: no key 'text'; keys present: id, body; .*--text-key"),
        ('text\n"没有结束', r"a\.csv:2: not CSV: "),
        ("id,text\n1,二\n三\n", r"a\.csv:3: 1 columns; expected 2 as in the header"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        for item in read(path):
            if isinstance(item, Unreadable):
                raise item.error


def test_a_bad_row_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    rows = [
        b"text,n",
        TEXTS[0].encode() + b",1",
        b"\xff\xff,2",
        b"1,2,3",
        TEXTS[1].encode() + b",4",
    ]
    path.write_bytes(gzip.compress(b"\n".join(rows)))
    found = read(path)
    assert texts(found) == [TEXTS[0], None, None, TEXTS[1]]
    assert [item.id for item in found if isinstance(item, Document)] == ["a-0", "a-3"]
    assert [error.split(": ")[1][:8] for error in errors(found)] == ["not UTF-", "3 column"]


# WikiExtractor

ARTICLES = st.lists(
    st.tuples(st.text("数学&\"<' ", min_size=1).map(str.strip).filter(bool), st.text("甲乙。\n")),
    min_size=1,
)


@given(ARTICLES)
@settings(deadline=None, max_examples=30)
def test_both_forms_of_wikiextractor_give_the_same(
    tmp_path_factory, articles: list[tuple[str, str]]
) -> None:
    from html import escape

    folder = tmp_path_factory.mktemp("wiki")
    blocks, records = [], []
    for number, (title, text) in enumerate(articles):
        body = "\n".join(line for line in text.split("\n") if line != title)
        head = f'<doc id="{number}" url="https://x/?curid={number}" title="{escape(title)}">'
        blocks.append(f"{head}\n{title}\n\n{body}\n</doc>\n")
        records.append(json.dumps({"id": str(number), "title": title, "text": body}))
    for name, content in (("AA", "".join(blocks)), ("BB", "\n".join(records))):
        (folder / name).mkdir()
        (folder / name / "wiki_00").write_text(content, encoding="utf-8")
    one, two = (read(folder / name / "wiki_00", id_key="title") for name in ("AA", "BB"))
    for a, b in zip(one, two, strict=True):
        assert isinstance(a, Document) and isinstance(b, Document)
        assert (a.id, a.text.split()) == (b.id, b.text.split())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<doc id="1" title="甲">\n甲\n\n乙\n', r"wiki_07:1: no </doc> to this <doc"),
        ("甲\n", r"wiki_07:1: got '甲', expected <doc id=… title=…> or a JSON object"),
        ("", r"wiki_07: no document in it"),
        ('{"id": "1"}\n', r"wiki_07:1: no key 'text'"),
    ],
)
def test_what_wikiextractor_did_not_write(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "wiki_07"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        for item in read(path):
            if isinstance(item, Unreadable):
                raise item.error


@pytest.mark.parametrize(
    "attributes", ["a" * 1_000_000, 'a="' * 300_000, 'id="1" ' + "b" * 999_999]
)
def test_attributes_without_an_end_are_read_once(tmp_path: Path, attributes: str) -> None:
    path = tmp_path / "wiki_07"
    number = "&#" + "9" * 5000 + ";"
    content = f'<doc {attributes}>\n{TEXTS[0]}\n</doc>\n<doc title="{number}甲">\n甲\n乙\n</doc>\n'
    path.write_text(content, encoding="utf-8")
    assert texts(read(path)) == [TEXTS[0], "甲\n乙"]


# Mistakes that cost one document


def test_a_line_in_another_encoding_costs_its_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    lines = [TEXTS[0].encode(), TEXTS[0].encode(), b"", TEXTS[1].encode("gb18030"), b""]
    path.write_bytes(b"\n".join([*lines, TEXTS[2].encode()]))
    found = read(path, layout="paragraphs")
    assert texts(found) == [f"{TEXTS[0]}\n{TEXTS[0]}", None, TEXTS[2]]
    [error] = errors(found)
    assert "a.txt:4: not UTF-8" in error
    assert "the line reads as GB18030" in error and "--encoding auto" in error
    assert texts(read(path, layout="lines")) == [TEXTS[0], TEXTS[0], None, TEXTS[2]]


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "auto"])
def test_files_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    traditional = ["黃河是中國第二長河。", "長江是亞洲第一長河。"]
    written = TEXTS if encoding != "big5" else traditional
    codec = "gb18030" if encoding == "auto" else encoding
    path.write_bytes("\n".join(written).encode(codec))
    assert texts(read(path, layout="lines", encoding=encoding)) == written
    path.write_bytes(b"\xff\xff\n" + written[0].encode(codec))
    if encoding != "auto":
        [error] = errors(read(path, layout="lines", encoding=encoding))
        assert "a.txt:1: not " in error and "iconv" not in error


def test_a_line_of_100_mb_costs_itself_and_no_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "a.jsonl"
    good = json.dumps({"text": TEXTS[0]}).encode() + b"\n"
    with path.open("wb") as stream:
        stream.write(good + b'{"text": "')
        for _ in range(100):
            stream.write(b"x" * (1 << 20))
        stream.write(b'"}\n' + good)
    tracemalloc.start()
    found = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert texts(found) == [TEXTS[0], None, TEXTS[0]]
    [error] = errors(found)
    assert "a.jsonl:2: a line of more than 67,108,864 bytes" in error
    assert "--max-line-mib, now 64" in error
    assert peak < 3 * 64 * 2**20
    [long] = [item for item in read(path, max_line_mib=101)[1:2] if isinstance(item, Document)]
    assert len(long.text) == 100 * 2**20


def test_json_that_python_cannot_hold_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = ['{"text": ' + "[" * 200_000, '{"text": "一", "n": ' + "1" * 5000 + "}"]
    path.write_text("\n".join([*lines, json.dumps({"text": "二"})]), "utf-8")
    found = read(path)
    assert texts(found) == [None, None, "二"]
    assert [error.split(": ")[1][:12] for error in errors(found)] == [
        "JSON nested ",
        "JSON with a ",
    ]


def test_surrogates_without_a_partner_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "\\udc80", "text": "黄河\\ud83d\\ude00很\\ud800长"}', "utf-8")
    [document] = read(path, id_key="id")
    assert isinstance(document, Document)
    assert (document.id, document.text) == ("\ufffd", "黄河\U0001f600很\ufffd长")


def test_a_row_is_named_by_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,text\n\n1,"一\n二"\n2,"三\n四",5\n', "utf-8")
    found = read(path)
    assert texts(found) == ["一\n二", None]
    assert errors(found)[0].startswith(f"{path}:5: 3 columns")


@pytest.mark.parametrize("closed", ["", '9,"四"\n'])
def test_an_open_quote_costs_its_own_row(tmp_path: Path, closed: str) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{n},行{n}\n" for n in range(3, 8))
    path.write_text(f'id,text\n1,"一"\n2,"二\n{rows}{closed}', "utf-8")
    found = read(path)
    expected = ["一", None, *(f"行{n}" for n in range(3, 8)), *(["四"] if closed else [])]
    assert texts(found) == expected
    assert errors(found)[0].startswith(f"{path}:3: not CSV: ")
    assert errors(found)[0].endswith("is a quote left open?")


def test_a_row_that_is_not_utf8_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    raw = pyarrow.array([TEXTS[0].encode(), b"\xd6\xd0\xce\xc4", TEXTS[1].encode()])
    column = pyarrow.StringArray.from_buffers(3, *raw.buffers()[1:])  # unchecked, as writers do it
    parquet.write_table(pyarrow.table({"text": column}), path)
    found = read(path)
    assert texts(found) == [TEXTS[0], None, TEXTS[1]]
    assert errors(found) == [f"{path}: row 2: not UTF-8: byte 0 of it"]


@pytest.mark.parametrize("key", ["text_key", "id_key"])
def test_a_column_of_times_is_no_text_and_no_id(tmp_path: Path, key: str) -> None:
    path = tmp_path / "a.parquet"
    times = pyarrow.array([1, 2**62], pyarrow.timestamp("ns"))  # the latter is no Python time
    parquet.write_table(pyarrow.table({"text": TEXTS[:2], "when": times}), path)
    with pytest.raises(UserError, match=r"a\.parquet: column 'when' holds timestamp.*expected str"):
        list(read(path, **{key: "when"}))


@pytest.mark.parametrize("group", [0, 3, 5])
def test_a_damaged_row_group_costs_itself(tmp_path: Path, group: int) -> None:
    path = tmp_path / "a.parquet"
    rows = [os.urandom(300).hex() for _ in range(60)]
    table = pyarrow.table({"text": rows})
    parquet.write_table(
        table, path, row_group_size=10, compression="zstd", write_page_checksum=True
    )
    with parquet.ParquetFile(path) as file:
        column = file.metadata.row_group(group).column(0)
    raw = bytearray(path.read_bytes())
    middle = column.dictionary_page_offset + column.total_compressed_size // 2
    raw[middle : middle + 40] = bytes(40)
    path.write_bytes(raw)
    found = read(path)
    [(before, lost)] = [(n, i) for n, i in enumerate(found) if isinstance(i, Unreadable)]
    assert (before, lost.n) == (10 * group, 10)
    assert f"{path}: damaged after row {before} (" in str(lost.error)
    assert f"10 rows of row group {group} are lost" in str(lost.error)
    kept = {item.id: item.text for item in found if isinstance(item, Document)}
    places = [n for n in range(60) if n // 10 != group]
    assert kept == {f"a-{n}": rows[n] for n in places}


# Web pages and archives

PAGE = """<html><head><meta charset="{charset}"><title>黄河</title>
<script>var x = 1;</script></head>
<body><nav><ul><li><a href="/">首页</a></li><li><a href="/in">登录</a></li></ul></nav>
<article><h1>黄河</h1><p>黄河是中国第二长河，发源于青藏高原，流经九个省区，最后注入渤海。</p>
<p>它的泥沙很多，因此得名；历史上多次改道，两岸的人民世世代代筑堤防洪。</p></article>
<footer>版权所有 2020 某公司</footer></body></html>"""


def page(charset: str) -> bytes:
    return PAGE.format(charset=charset).encode(charset)


@pytest.mark.parametrize("charset", ["utf-8", "gb2312"])
def test_a_page_gives_its_main_text(tmp_path: Path, charset: str) -> None:
    pytest.importorskip("trafilatura", reason="hanmo[web] is not installed")
    path = tmp_path / "a.html"
    path.write_bytes(page(charset))
    [document] = read(path)
    assert isinstance(document, Document)
    assert document.text.startswith("黄河\n黄河是中国第二长河")
    assert "登录" not in document.text and "版权" not in document.text
    # The same page once more in one process gives the same.
    assert texts(read(path)) == [document.text]


def test_without_the_extra_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from hanmo.corpus import pages

    pages._extractor.cache_clear()
    for name in ("trafilatura", "warcio"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "warcio.archiveiterator", None)
    for name in ("a.html", "a.warc"):
        (tmp_path / name).write_bytes(page("utf-8"))
        with pytest.raises(MissingLibraryError, match=r"pip install 'hanmo\[web\]'"):
            read(tmp_path / name)


def archive(path: Path, records: list[tuple[str, bytes, str]]) -> None:
    """Write a WARC file by the standard (ISO 28500); packed, each record is a gzip member."""
    with path.open("wb") as stream:
        for number, (kind, body, status) in enumerate(records):
            http = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\n\r\n".encode()
            content = http + body if kind == "response" else body
            head = (
                f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
                f"WARC-Target-URI: https://example.org/{number}\r\n"
                f"Content-Length: {len(content)}\r\n\r\n"
            )
            record = head.encode() + content + b"\r\n\r\n"
            stream.write(gzip.compress(record, mtime=0) if path.suffix == ".gz" else record)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_web_archive(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("trafilatura", reason="hanmo[web] is not installed")
    pytest.importorskip("warcio", reason="hanmo[web] is not installed")
    path = tmp_path / f"a.warc{suffix}"
    records = [
        ("warcinfo", b"x", ""),
        ("response", page("utf-8"), "200 OK"),
        ("response", b"not here", "404 Not Found"),
        ("response", b"<p>" + bytes(range(128, 256)) * 9, "200 OK"),
        ("conversion", TEXTS[0].encode(), ""),
        ("response", page("gb2312"), "200 OK"),
    ]
    archive(path, records)
    found = read(path, id_key="url")
    assert [getattr(item, "id", None) for item in found] == [
        f"https://example.org/{n}" if n != 3 else None for n in (1, 3, 4, 5)
    ]
    one, broken, plain, other = texts(found)
    assert one == other and one is not None and one.startswith("黄河\n黄河是中国第二长河")
    assert (broken, plain) == (None, TEXTS[0])
    assert "a.warc" in errors(found)[0] and "record 3: the page's encoding" in errors(found)[0]
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) - 400])
    with pytest.raises(UserError, match=r"a\.warc.*(cut off|damaged)"):
        read(path)
    path.write_bytes(gzip.compress(b"no archive\n") if suffix else b"no archive\n")
    with pytest.raises(UserError, match=r"a\.warc.*no WARC file"):
        read(path)


def test_true_and_false_are_no_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": true, "text": "一"}\n{"id": 7, "text": "二"}\n', "utf-8")
    found = read(path, id_key="id")
    assert texts(found) == [None, "二"]
    assert "key 'id' holds bool" in errors(found)[0]


@pytest.mark.parametrize("header", ["id,text,text", "text,id,id"])
def test_of_two_columns_of_one_name_none_is_chosen(header: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n一,二,三\n", "utf-8")
    with pytest.raises(UserError, match=r"a\.csv:1: 2 columns '\w+'; rename all but one"):
        read(path, id_key="id")


@pytest.mark.parametrize("text", ["标题,text\n甲,一\n", "text\n一\n"])
def test_a_mark_of_byte_order_is_no_part_of_a_header(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"\ufeff{text}", "gb18030")
    assert texts(read(path, encoding="gb18030")) == ["一"]


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("utf-16-be", "UTF-16")]
)
@pytest.mark.parametrize("asked", ["utf-8", "auto"])
def test_wide_encodings_are_named(encoding: str, said: str, asked: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    mark = "\ufeff" if encoding.endswith("be") else ""
    path.write_text(f"{mark}黄河很长。\n", encoding)
    with pytest.raises(UserError, match=rf"{said} by its first bytes.*iconv -f {said} -t"):
        raise next(
            item.error for item in read(path, encoding=asked) if isinstance(item, Unreadable)
        )


def test_a_damaged_archive_says_so_at_its_beginning(tmp_path: Path) -> None:
    pytest.importorskip("warcio")
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip.compress(b"WARC/1.0\r\n" * 100)[:20])
    with pytest.raises(UserError, match="damaged archive at its beginning"):
        read(path)


def test_open_quotes_in_every_row_end_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\n" + 'a","\n' * 20_001, "utf-8")
    with pytest.raises(UserError, match="never closed in very many rows; is it CSV"):
        read(path)


def test_a_few_open_quotes_in_a_long_file_cost_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\n" + 'a","\n' * 9 + "一\n" * 20_000, "utf-8")
    found = read(path)
    assert texts(found) == [None] * 9 + ["一"] * 20_000
