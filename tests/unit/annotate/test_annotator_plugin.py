"""Annotators of somebody else's: their code counts as an input, and what they return is checked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hanmo.commands.annotate import Config, run
from hanmo.commands.prepare import Config as Prepare
from hanmo.commands.prepare import run as prepare
from hanmo.core.errors import UserError

PLUGIN = """
from dataclasses import dataclass

from hanmo.annotate.sentence import Sentence


@dataclass(frozen=True, slots=True)
class Annotator:
    layers = ("pos",)

    def annotate(self, texts):
        made = [
            Sentence(text, ((0, len(text)),), {{"pos": ("n",)}}) for text in texts
        ]
        return {returned}
"""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    raw = tmp_path / "raw.txt"
    raw.write_text(
        "今天下午下了雨。明天大概天晴。\n\n老师买了三本新书。他很喜欢。\n", encoding="utf-8"
    )
    prepare(Prepare([raw], tmp_path / "corpus", min_chars=1))
    return tmp_path / "corpus"


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], str]:
    def write(returned: str) -> str:
        path = tmp_path / f"p{abs(hash(returned))}.py"
        path.write_text(PLUGIN.format(returned=returned), encoding="utf-8")
        return str(path)

    return write


def test_an_honest_one(corpus: Path, plugin: Callable[[str], str], tmp_path: Path) -> None:
    counts = run(Config([corpus], tmp_path / "out", annotator=plugin("made")))
    assert counts["sentences"] == counts["words"] == 4


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("made[::-1]", "expected the same texts in the same order"),
        ("None", "returned a NoneType; expected a list of Sentence objects"),
        ("['字'] * len(texts)", "returned a str; expected Sentence objects"),
        ("made[:-1]", "returned 3 sentences for 4"),
    ],
)
def test_what_is_returned_is_checked(
    corpus: Path, plugin: Callable[[str], str], tmp_path: Path, returned: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        run(Config([corpus], tmp_path / "out", annotator=plugin(returned)))


def test_other_code_is_another_input(
    corpus: Path, plugin: Callable[[str], str], tmp_path: Path
) -> None:
    name = plugin("made")
    run(Config([corpus], tmp_path / "out", annotator=name))
    Path(name).write_text(Path(name).read_text() + "\n# changed\n")
    with pytest.raises(UserError, match="annotator code holds something else"):
        run(Config([corpus], tmp_path / "out", annotator=name))


@pytest.mark.parametrize(("name", "told"), [("workers", "--workers"), ("max_chars", "--max-chars")])
def test_numbers_below_one(corpus: Path, tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(UserError, match=f"{told}: got 0, expected 1 or more"):
        run(Config([corpus], tmp_path / "out", sample=2, **{name: 0}))


def test_an_output_over_its_input(corpus: Path) -> None:
    with pytest.raises(UserError, match="holds the input"):
        run(Config([corpus], corpus, annotator="jieba", overwrite=True))
    assert (corpus / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("returned", "told"),
    [("made[1:]", "the annotator returned"), ("texts", "str"), ("made[::-1]", "returned")],
)
def test_a_sample_is_checked_as_a_run_is(
    returned: str, told: str, corpus: Path, tmp_path: Path
) -> None:
    code = tmp_path / "mine.py"
    code.write_text(PLUGIN.format(returned=returned), encoding="utf-8")
    with pytest.raises(UserError, match=told):
        run(Config([corpus], None, annotator=str(code), sample=2))
