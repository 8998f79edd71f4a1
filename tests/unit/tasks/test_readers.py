"""Rows of TSV, CSV and JSON-lines files, and the place of every mistake in them."""

import csv
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanmo.core.errors import UserError
from hanmo.tasks.readers import read_rows
from hanmo.tasks.suite import TASKS
from hanmo.tasks.task import Layout

COLUMNS = {"label": "label", "text_a": "text"}
CELL = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\t\n\r\0"))


def read(
    path: Path, content: str, *, optional: frozenset[str] = frozenset(), **options: Any
) -> list[tuple[int, dict[str, Any]]]:
    path.write_bytes(content.encode())
    return rows_of(path, optional=optional, **options)


def rows_of(
    path: Path, *, optional: frozenset[str] = frozenset(), **options: Any
) -> list[tuple[int, dict[str, Any]]]:
    layout = Layout(**{"columns": COLUMNS, **options})
    rows = list(read_rows(path, layout, optional=optional))
    assert all(row.where == f"{path}:{row.id}" for row in rows)
    assert all(bool(row.left_out) == (not row.values) for row in rows)
    return [(int(row.id), row.values) for row in rows if not row.left_out.startswith("another_")]


def message(path: Path, content: str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(path, content, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_tsv_is_raw(tmp_path: Path) -> None:
    content = '\ufefftext\tlabel\tid\n"好\t1\t7\r\n他说"不\t0\t8\n'
    assert read(tmp_path / "a.tsv", content) == [
        (2, {"label": "1", "text_a": '"好'}),
        (3, {"label": "0", "text_a": '他说"不'}),
    ]


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6))
def test_a_tsv_gives_back_what_was_joined(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "joined.tsv"
    content = "\n".join("\t".join(row) for row in [("label", "text"), *rows])
    got = read(path, content)
    assert [(row["label"], row["text_a"]) for _, row in got] == rows


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(st.tuples(st.text("ab,\"'\n好", min_size=1), CELL), min_size=1, max_size=6))
def test_a_csv_reads_what_the_csv_module_writes(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("label", "text"), *rows])
    got = rows_of(path)
    assert [(row["label"], row["text_a"]) for _, row in got] == rows


def test_a_csv_record_is_named_by_its_first_line(tmp_path: Path) -> None:
    content = 'label,text\n1,"a\nb"\n0,c\n'
    got = read(tmp_path / "a.csv", content)
    assert [(number, row["text_a"]) for number, row in got] == [(2, "a\nb"), (4, "c")]
    assert "b.csv:5: not a well-formed record" in message(tmp_path / "b.csv", content + '1,"open\n')


def test_a_quoted_tsv_is_unquoted_on_demand(tmp_path: Path) -> None:
    content = 'label\ttext\n1\t"a\tb"\n'
    assert read(tmp_path / "a.tsv", content, quoted=True)[0][1]["text_a"] == "a\tb"
    assert "a.tsv:2: 3 columns; expected 2" in message(tmp_path / "a.tsv", content)


def test_columns_by_number_need_no_header(tmp_path: Path) -> None:
    columns = {"label": 2, "text_a": 0, "text_b": 1}
    got = read(tmp_path / "a.txt", "甲\t乙\t1\n丙\t丁\t0\n", columns=columns)
    assert got[0] == (1, {"label": "1", "text_a": "甲", "text_b": "乙"})
    assert len(got) == 2
    optional = frozenset({"label"})
    without = read(tmp_path / "a.txt", "甲\t乙\n", columns=columns, optional=optional)
    assert without[0][1]["label"] is None
    assert "a.txt:1: no column 2 for label: the line has 2 columns" in message(
        tmp_path / "a.txt", "甲\t乙\n", columns=columns
    )


def test_json_lines(tmp_path: Path) -> None:
    content = "".join(
        json.dumps(row) + "\n"
        for row in ({"label": 3, "text": "好"}, {"label": True, "text": "差"}, {"text": "?"})
    )
    got = read(tmp_path / "a.jsonl", content, optional=frozenset({"label"}))
    assert [row["label"] for _, row in got] == [3, True, None]
    assert "a.jsonl:3: no column 'label' for label; there: text" in message(
        tmp_path / "a.jsonl", content
    )
    assert "a.json:1: a JSON list; expected one object a line" in message(
        tmp_path / "a.json", "[1]"
    )


def test_versions_of_a_file_name_a_column_differently(tmp_path: Path) -> None:
    columns = {"label": ("label", "gold.label"), "text_a": "text"}
    content = '{"text": "a", "gold": {"label": "1"}}\n{"text": "b", "label": "0", "gold": {}}\n'
    got = read(tmp_path / "a.jsonl", content, columns=columns)
    assert [row["label"] for _, row in got] == ["1", "0"]
    content += '{"text": "c"}\n'
    got = read(tmp_path / "a.jsonl", content, columns=columns, optional=frozenset({"label"}))
    assert got[2] == (3, {"label": None, "text_a": "c"})
    assert "a.jsonl:3: no column 'label' or 'gold.label' for label; there: text" in message(
        tmp_path / "a.jsonl", content, columns=columns
    )
    columns = {"label": ("label", "gold"), "text_a": "text"}
    for header in ("text\tgold\tx", "text\tlabel\tgold", "text\tlabel\t"):
        content = f"{header}\na\t1\t2\n"
        assert read(tmp_path / "a.tsv", content, columns=columns) == [
            (2, {"label": "1", "text_a": "a"})
        ]
    assert "no column 'label' or 'gold' for label; there: text, " in message(
        tmp_path / "a.tsv", "text\t\t\na\t1\t2\n", columns=columns
    )


def test_compressed_files_are_read_by_the_suffix_below(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.xz"
    path.write_bytes(lzma.compress(b"label,text\n1,a\n"))
    assert rows_of(path) == [(2, {"label": "1", "text_a": "a"})]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "a.tsv: empty; expected rows with label, text_a"),
        ("label\ttxt\n1\ta\n", "a.tsv:1: no column 'text' for text_a; there: label, txt"),
        ("label\ttext\n1\ta\n1\n", "a.tsv:3: 1 columns; expected 2"),
        ("label\ttext\n1\ta\tb\n", "a.tsv:2: 3 columns; expected 2"),
        ("label\ttext\ttext\n", "a.tsv:1: column 'text' is there 2 times"),
    ],
)
def test_mistakes_name_their_place(tmp_path: Path, content: str, expected: str) -> None:
    assert expected in message(tmp_path / "a.tsv", content)


def test_blank_lines_have_no_fields(tmp_path: Path) -> None:
    got = read(tmp_path / "a.tsv", "label\ttext\n\n1\ta\n")
    assert got == [(2, {}), (3, {"label": "1", "text_a": "a"})]


def test_unknown_formats_and_mixed_columns_are_refused(tmp_path: Path) -> None:
    assert "set reader to one of tsv, csv, jsonl, squad, conll" in message(tmp_path / "a.xlsx", "x")
    assert "no 'tvs'; did you mean 'tsv'?" in message(tmp_path / "a.tsv", "x", reader="tvs")
    mixed = {"label": 0, "text_a": "text"}
    assert "all names" in message(tmp_path / "a.tsv", "a\tb\n", columns=mixed)


STSB = {"text_a": 1, "text_b": 2, "label": 3}


def test_a_delimiter_of_two_characters(tmp_path: Path) -> None:
    content = "main||一个人|在骑车||他在||3\nmain||a||||0\n"
    got = read(tmp_path / "a.txt", content, columns=STSB, delimiter="||")
    assert [row for _, row in got] == [
        {"text_a": "一个人|在骑车", "text_b": "他在", "label": "3"},
        {"text_a": "a", "text_b": "", "label": "0"},
    ]
    for name, options in (("b.csv", {}), ("b.tsv", {"quoted": True})):
        assert "delimiter: got '||'; expected one character of a quoted file" in message(
            tmp_path / name, content, columns=STSB, delimiter="||", **options
        )


def test_nested_json_keys(tmp_path: Path) -> None:
    columns = {"text_a": "target.span.text", "label": "meta.label"}
    content = '{"target": {"span": {"text": "好"}}, "meta": {"label": [1]}}\n'
    got = read(tmp_path / "a.jsonl", content, columns=columns)
    assert got == [(1, {"text_a": "好", "label": [1]})]
    for broken in ('{"target": {"span": "x"}}', '{"target": {}}', '{"target": null}'):
        assert "a.jsonl:1: no column 'target.span.text' for text_a; there: target" in message(
            tmp_path / "a.jsonl", broken, columns=columns
        )
    without = read(
        tmp_path / "a.jsonl",
        '{"target": {"span": {"text": "好"}}}',
        columns=columns,
        optional=frozenset({"label"}),
    )
    assert without[0][1]["label"] is None


@pytest.mark.parametrize(
    ("first", "header", "n"),
    [
        ("text_a\ttext_b\tlabel", "auto", 1),
        ("Sentence1\tsentence2\t gold_label", "auto", 1),
        ("甲\t乙\t1", "auto", 2),
        ("甲\t乙\t1", "no", 2),
        ("甲\t乙\t1", "yes", 1),
        ("text_a\ttext_b\tlabel", "no", 2),
    ],
)
def test_headers_of_files_read_by_number(tmp_path: Path, first: str, header: str, n: int) -> None:
    columns = {"text_a": 0, "text_b": 1, "label": 2}
    got = read(tmp_path / "a.tsv", f"{first}\n丙\t丁\t0\n", columns=columns, header=header)
    assert len(got) == n
    assert got[-1] == (2, {"text_a": "丙", "text_b": "丁", "label": "0"})


def test_headerless_lcqmc_loses_no_row(tmp_path: Path) -> None:
    layout = TASKS["lcqmc"].layout("dev.tsv")
    path = tmp_path / "dev.tsv"
    path.write_text(
        "开初婚未育证明怎么弄？\t初婚未育情况证明怎么开？\t1\n谁\t啥\t0\n", encoding="utf-8"
    )
    assert [row.values["label"] for row in read_rows(path, layout)] == ["1", "0"]


def test_other_languages_are_not_of_the_task(tmp_path: Path) -> None:
    path = tmp_path / "xnli.dev.tsv"
    lines = ["language\tgold_label\tx\tsentence1\tsentence2"]
    lines += [f"{one}\tneutral\t-\t{one}-a\t{one}-b" for one in ("ar", "zh", "en", "zh")]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = list(read_rows(path, TASKS["xnli"].layout(path.name)))
    got = [(row.id, row.values.get("text_a"), row.left_out) for row in rows]
    other = "another_language"
    assert got == [("2", None, other), ("3", "zh-a", ""), ("4", None, other), ("5", "zh-a", "")]
    path.write_text("gold_label\tsentence1\tsentence2\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"xnli\.dev\.tsv:1: no column 'language'"):
        list(read_rows(path, TASKS["xnli"].layout(path.name)))


def test_kept_values_of_json(tmp_path: Path) -> None:
    rows = [{"label": 1, "text": "a", "level": 1, "meta": {"zh": True}}]
    rows += [{"label": 1, "text": "b", "level": "1", "meta": {"zh": "true"}}]
    rows += [{"label": 1, "text": "c", "level": 2, "meta": {"zh": False}}]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    for keep in ({"level": "1"}, {"meta.zh": "true"}, {"level": "1", "meta.zh": "true"}):
        got = read(tmp_path / "a.jsonl", content, keep=keep)
        assert [row["text_a"] for _, row in got] == ["a", "b"]
    assert "a.jsonl:1: no column 'levle'" in message(
        tmp_path / "a.jsonl", content, keep={"levle": "1"}
    )
    assert "keep: got {'x': '1'}; tagged sentences have no further columns" in message(
        tmp_path / "a.txt", "a O\n", reader="conll", keep={"x": "1"}
    )


def test_kept_values_by_name_make_the_first_line_a_header(tmp_path: Path) -> None:
    content = "lang\tfirst\tsecond\nzh\t好\t1\nen\ta\t0\n"
    columns = {"text_a": 1, "label": 2}
    got = read(tmp_path / "a.tsv", content, columns=columns, keep={"lang": "zh"})
    assert got == [(2, {"text_a": "好", "label": "1"})]


def test_documents_of_a_domain(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    data = [
        {
            "domain": domain,
            "paragraphs": [{"context": "x", "qas": [{"id": domain, "question": "?"}]}],
        }
        for domain in ("civil", "criminal")
    ]
    path.write_text(json.dumps({"data": data}))
    layout = Layout(columns={"context": "context"}, reader="squad", keep={"domain": "civil"})
    row, other = read_rows(path, layout)
    assert (row.id, row.where, row.left_out) == ("civil", f"{path}: question civil", "")
    assert (other.id, other.values, other.left_out) == ("criminal", {}, "another_domain")
