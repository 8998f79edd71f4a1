"""The command: a text gives a table, a file gives a line an answer, mistakes give one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from hanmo.commands.predict import Config, run
from hanmo.core.errors import UserError
from hanmo.predict import _onnx
from hanmo.predict._how import How
from hanmo.predict.fill_mask import Predict


def config(model: Path, kind: str, text: str | None = None, **options: Any) -> Config:
    return Config(model=model, kind=kind, text=[] if text is None else [text], **options)


def test_a_text_gives_its_answer_and_a_table(mlm: Path) -> None:
    result = run(config(mlm, "fill-mask", "去[MASK][MASK]。", top_k=3))
    assert result is not None
    [expected] = Predict().load(mlm, top_k=3)(["去[MASK][MASK]。"])
    assert result["answer"]["filled"] == expected["filled"]
    best = expected["words"][0]["fillings"]
    assert len(best) == 3
    for filling in best:
        assert filling["text"] in result["text"]
        assert f"{filling['probability']:.4f}" in result["text"]


def test_a_file_gives_one_json_object_a_line(
    mlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{'去' * (n % 5)}[MASK]我" for n in range(23)]
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert run(config(mlm, "fill-mask", file=path, batch_tokens=16, top_k=2)) is None
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["text"] for answer in answers] == lines
    expected = Predict().load(mlm, top_k=2)(lines)
    for answer, other in zip(answers, expected, strict=True):
        assert answer["filled"] == other["filled"]


def test_a_bad_line_is_named_after_the_answers_before_it(
    mlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("我[MASK]\n他[MASK]\n好\n去[MASK]\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"texts\.txt:3: no \[MASK\]"):
        run(config(mlm, "fill-mask", file=path, table=True))
    # Each answer begins with the filled text.
    heads = [line for line in capsys.readouterr().out.splitlines() if line[0] in "我他去"]
    assert [line[0] for line in heads] == ["我", "他"]


def test_a_pipe_can_be_read(mlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("我[MASK]\n",))
    writer.start()
    run(config(mlm, "fill-mask", file=pipe))
    writer.join()
    assert json.loads(capsys.readouterr().out)["text"] == "我[MASK]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "fill-mask"}, "either a TEXT or --file"),
        ({"kind": "fill-mask", "text": ["[MASK]"], "file": Path("x")}, "either a TEXT or --file"),
        ({"kind": "fil-mask", "text": ["[MASK]"]}, "did you mean 'fill-mask'"),
        ({"kind": "fill-mask", "text": ["[MASK]"], "top_k": 0}, "--top-k: got 0"),
        (
            {"kind": "fill-mask", "text": ["[MASK]"], "options": {"mask_words": True}},
            r"fill-mask: no option 'mask_words'.*known: beam, mask_length",
        ),
        (
            {"kind": "tags", "text": ["[MASK]"], "options": {"mask_length": "2"}},
            "tags: no option 'mask_length'",
        ),
        ({"kind": "fill-mask", "file": Path("nowhere.txt")}, "nowhere.txt: no such file"),
        ({"kind": "tags", "text": ["[MASK]"]}, "without label heads"),
        ({"kind": "classify", "text": ["好"]}, "hanmo finetune"),
    ],
)
def test_mistakes_are_explained(mlm: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(Config(model=mlm, **options))


def test_a_model_without_mlm_head_is_refused(tmp_path: Path) -> None:
    from predict_cases import VOCAB, make_model

    from hanmo.model.checkpoint import save_model
    from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
    from hanmo.text.tokenizer import Tokenizer

    torch.manual_seed(0)
    folder = tmp_path / "model"
    save_model(
        folder,
        Pooled(make_model(layers=False).encoder, 2, cross_entropy),
        tokenizer=Tokenizer(VOCAB),
    )
    with pytest.raises(UserError, match="has no masked-LM head"):
        run(config(folder, "fill-mask", "[MASK]"))


def test_the_command_line_takes_kind_and_text_without_flags(
    lert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hanmo.cli import main

    assert main(["predict", str(lert), "tags", "去[mask][MASK]", "--top-k", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [len(labels) for labels in result["words"][0]["layers"].values()] == [1, 1]
    assert main(["predict", str(lert), "fill-mask", "去[WORD]", "--mask-length", "2"]) == 0
    assert "probability" in capsys.readouterr().out
    assert main(["predict", str(lert), "fill-mask", "好"]) == 2
    assert "hanmo: no [MASK]" in capsys.readouterr().err


LENGTHS = '''
"""Count the characters of a text."""

import dataclasses

from hanmo.predict._predictor import Predictor


@dataclasses.dataclass(frozen=True)
class Predict:
    """Options.

    Attributes:
        times: What the number is multiplied with.
    """

    times: int = 1

    def load(self, folder, *, top_k=5, how=None):
        def answer(texts):
            return [{"text": text, "n": self.times * len(text)} for text in texts]

        return Predictor(
            fields=("text",),
            read=lambda row: row["text"],
            cost=len,
            answer=answer,
            columns=("n",),
            rows=lambda one: [(str(one["n"]),)],
        )
'''


def test_a_kind_from_outside_gets_its_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hanmo.cli import main

    path = tmp_path / "lengths.py"
    path.write_text(LENGTHS, encoding="utf-8")
    for options, n in (([], 3), (["--times", "4"], 12)):
        assert main(["predict", "m", str(path), "他去了", *options, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"text": "他去了", "n": n}


def test_blank_lines_are_passed_over_line_for_line(
    mlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("我[MASK]\n\n  \n你[MASK]\n", encoding="utf-8")
    run(config(mlm, "fill-mask", file=path))
    out, err = capsys.readouterr()
    given = [json.loads(line) for line in out.splitlines()]
    assert [one["text"] for one in given] == ["我[MASK]", "", "  ", "你[MASK]"]
    assert [one.get("blank", False) for one in given] == [False, True, True, False]
    assert "2 blank lines" in err
    path.write_text("我[MASK]\n\n没有\n你[MASK]\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"texts\.txt:3: "):
        run(config(mlm, "fill-mask", file=path))
    given = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["text"] for one in given] == ["我[MASK]", ""]


def test_json_lines_bring_fields_and_ids(
    mlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "asked.jsonl"
    lines = [{"id": "a1", "text": "我[MASK]"}, {"text": "他[MASK]"}]
    path.write_text("\n".join(json.dumps(line) for line in lines) + '\n"去[MASK]"\n')
    run(config(mlm, "fill-mask", file=path))
    given = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one.get("id"), one["text"]) for one in given] == [
        ("a1", "我[MASK]"),
        (None, "他[MASK]"),
        (None, "去[MASK]"),
    ]
    assert next(iter(given[0])) == "id"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("3", "a JSON int; expected an object or a text"),
        ('{"txt": "我[MASK]"}', "no field 'txt'; did you mean 'text'"),
        ('{"text": 3}', "expected a text"),
        ('{"text": "\\ud800[MASK]"}', "not JSON in UTF-8.*surrogates"),
        ('{"id": "\\ud83d", "text": "[MASK]"}', "not JSON in UTF-8.*surrogates"),
        (f'{{"id": {"1" * 5000}, "text": "[MASK]"}}', "not JSON in UTF-8.*digits"),
    ],
)
def test_bad_json_lines_are_named(mlm: Path, tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text('{"text": "我[MASK]"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"asked\.jsonl:2: .*{message}"):
        run(config(mlm, "fill-mask", file=path))


def test_bad_lines_can_be_skipped_and_are_told(
    mlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes("我[MASK]\n没有\n".encode() + b"\xff[MASK]\n" + "去[MASK]\n".encode())
    result = run(config(mlm, "fill-mask", file=path, on_error="skip"))
    assert result == {"exit_code": 3}
    out, err = capsys.readouterr()
    given = [json.loads(line) for line in out.splitlines()]
    assert ["error" in one for one in given] == [False, True, True, False]
    assert "no [MASK]" in given[1]["error"]
    assert "UTF-8" in given[2]["error"]
    assert "2 lines could not be answered" in err


def test_answers_in_a_file_go_on_after_a_stop(mlm: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "texts.txt", tmp_path / "answers.jsonl"
    good = [f"{'去' * (n % 5)}[MASK]我" for n in range(9)]
    path.write_text("\n".join([*good[:5], "没有", *good[5:]]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"texts\.txt:6"):
        run(config(mlm, "fill-mask", file=path, out=out, batch_tokens=4))
    partial = tmp_path / "answers.jsonl.partial"
    assert len(partial.read_text(encoding="utf-8").splitlines()) == 5
    with pytest.raises(UserError, match="--resume continues"):
        run(config(mlm, "fill-mask", file=path, out=out))
    # The file is another one now; a resumed run must not mix the two.
    path.write_text("\n".join(good) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"other settings \(file was"):
        run(config(mlm, "fill-mask", file=path, out=out, resume=True))
    result = run(config(mlm, "fill-mask", file=path, out=out, overwrite=True))
    assert result == {"out": str(out), "answers": 9, "of_an_earlier_run": 0}
    texts = [json.loads(line)["text"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert texts == good


def test_a_bad_line_may_be_skipped_when_a_run_goes_on_and_is_told_then_too(
    mlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "texts.txt", tmp_path / "answers.jsonl"
    path.write_text("我[MASK]\n没有\n\n去[MASK]\n好\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"texts\.txt:2"):
        run(config(mlm, "fill-mask", file=path, out=out))
    whole = {"file": path, "out": out, "resume": True, "on_error": "skip"}
    result = run(config(mlm, "fill-mask", **whole))
    assert result == {"out": str(out), "answers": 5, "of_an_earlier_run": 1, "exit_code": 3}
    # As if it had been killed after its third line: what went before counts.
    lines = out.read_text(encoding="utf-8").splitlines(keepends=True)
    with pytest.raises(UserError, match=r"texts\.txt:2"):
        run(config(mlm, "fill-mask", file=path, out=out, overwrite=True))
    (tmp_path / "answers.jsonl.partial").write_text("".join(lines[:3]), encoding="utf-8")
    path_out = out.read_text(encoding="utf-8")
    out.unlink()
    capsys.readouterr()
    result = run(config(mlm, "fill-mask", **whole))
    assert result == {"out": str(out), "answers": 5, "of_an_earlier_run": 3, "exit_code": 3}
    assert out.read_text(encoding="utf-8") == path_out
    err = capsys.readouterr().err
    assert "2 lines could not be answered" in err
    assert "1 blank lines" in err


def test_a_run_does_not_go_on_with_another_engine(mlm: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "texts.txt", tmp_path / "answers.jsonl"
    path.write_text("我[MASK]\n没有\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"texts\.txt:2"):
        run(config(mlm, "fill-mask", file=path, out=out))
    with pytest.raises(UserError, match="engine was torch fp32, now torch bf16"):
        run(config(mlm, "fill-mask", file=path, out=out, resume=True, precision="bf16"))


def test_a_run_goes_on_with_the_engine_that_was_the_fastest(
    mlm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one may be the fastest when the run is continued."""
    path, out = tmp_path / "texts.txt", tmp_path / "answers.jsonl"
    path.write_text("我[MASK]\n没有\n", encoding="utf-8")
    monkeypatch.setattr(_onnx, "_precisions", lambda how: ("fp32", "bf16"))
    asked = {"file": path, "out": out, "engine": "auto", "precision": "auto"}

    def fast(name: str) -> None:
        monkeypatch.setattr(_onnx, "_seconds", lambda engine: float(engine.name != name))

    fast("torch bf16")
    with pytest.raises(UserError, match=r"texts\.txt:2"):
        run(config(mlm, "fill-mask", **asked))
    fast("torch fp32")
    told = tmp_path / "answers.jsonl.partial.json"
    assert json.loads(told.read_text(encoding="utf-8"))["engine"] == "torch bf16"
    result = run(config(mlm, "fill-mask", **asked, resume=True, on_error="skip"))
    assert result is not None and result["of_an_earlier_run"] == 1
    monkeypatch.setattr(_onnx, "_precisions", lambda how: ("fp32",))
    with pytest.raises(UserError, match="cannot be run by torch bf16, which an earlier run took"):
        Predict().load(mlm, how=How("auto", only="torch bf16"))


def test_a_pipe_can_be_answered_into_a_file(mlm: Path, tmp_path: Path) -> None:
    import threading

    pipe, out = tmp_path / "pipe", tmp_path / "answers.jsonl"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("我[MASK]\n",))
    writer.start()
    run(config(mlm, "fill-mask", file=pipe, out=out))
    writer.join()
    assert json.loads(out.read_text(encoding="utf-8"))["text"] == "我[MASK]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": ["[MASK]"], "out": Path("x")}, "--out: takes the JSON lines of --file"),
        ({"text": ["[MASK]"], "resume": True}, "nothing to resume without --out"),
        ({"text": ["[MASK]"], "overwrite": True}, "nothing to overwrite without --out"),
        ({"text": ["[MASK]"], "batch_tokens": 0}, "--batch-tokens: got 0"),
        ({"text": ["[MASK]"], "on_error": "skip"}, "--on-error: is for the lines of --file"),
        ({"text": ["[MASK]"], "engine": "onnx", "precision": "bf16"}, "--precision bf16: is torch"),
        ({"text": ["[MASK]", "我"]}, "2 texts; this model takes text"),
    ],
)
def test_mistakes_of_settings_are_explained(
    mlm: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(Config(model=mlm, kind="fill-mask", **options))
