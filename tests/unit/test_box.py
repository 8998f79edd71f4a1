"""The model that is asked where none is named: which words name it, and a tree without one."""

from pathlib import Path
from typing import Any

import pytest

from hanmo import box
from hanmo.commands import predict, serve
from hanmo.core import config as configuration
from hanmo.core.errors import UserError
from serve_cases import write_lert
from training_cases import CHARACTERS

MASKED = f"{CHARACTERS[2]}[MASK]{CHARACTERS[5]}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy in the place of the model."""
    made = write_lert(tmp_path / box.NAME)
    monkeypatch.setattr(box, "folder", lambda: made)
    return made


@pytest.fixture
def none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "folder", lambda: None)


def asked(*words: str) -> Any:
    return configuration.parse("predict", predict, words)


@pytest.mark.parametrize(
    ("words", "model", "kind", "text"),
    [
        (["fill-mask", "我[MASK]"], None, "fill-mask", ["我[MASK]"]),
        (["fill_mask", "我[MASK]"], None, "fill_mask", ["我[MASK]"]),
        (["--beam", "4", "fill-mask", "我[MASK]"], None, "fill-mask", ["我[MASK]"]),
        (["--top-k", "2", "tags", "--mask-words", "我去"], None, "tags", ["我去"]),
        (["--mask-words", "tags", "我去"], None, "tags", ["我去"]),
        (["--mask-words", "m", "tags", "我去"], "m", "tags", ["我去"]),
        (["m", "--beam=4", "fill-mask", "我[MASK]"], "m", "fill-mask", ["我[MASK]"]),
        (["m", "fill-mask", "tags"], "m", "fill-mask", ["tags"]),
        (["tags", "embed", "我去"], "tags", "embed", ["我去"]),
        (["embed", "--file", "texts.txt"], None, "embed", []),
        (["embed", "--pool", "cls", "我去"], None, "embed", ["我去"]),
        (["classify", "花呗", "借呗"], None, "classify", ["花呗", "借呗"]),
    ],
)
def test_it_is_asked_where_no_model_is_named(
    words: list[str], model: str | None, kind: str, text: list[str], folder: Path
) -> None:
    config = asked(*words)
    assert (str(config.model), config.kind) == (model or str(folder), kind)
    assert config.text == text


def test_its_answers_are_those_of_its_folder(folder: Path) -> None:
    found, other = predict.run(asked("fill-mask", MASKED)), asked(str(folder), "fill-mask", MASKED)
    assert found is not None
    assert found == predict.run(other)


def test_a_file_of_settings_names_its_own_model(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('model = "m"\nkind = "embed"\n', encoding="utf-8")
    config = asked("--config", str(path), "--file", "x")
    assert (str(config.model), config.kind) == ("m", "embed")


def test_what_it_cannot_answer_is_told(folder: Path) -> None:
    with pytest.raises(UserError, match=r"lert-tiny: .*classify needs a fine-tuned model"):
        predict.run(asked("classify", "好"))
    with pytest.raises(UserError, match="MODEL, KIND missing"):
        asked()
    with pytest.raises(UserError, match="KIND missing"):
        asked("我在[MASK]工作")


def test_serve_takes_it_too(folder: Path) -> None:
    config = configuration.parse("serve", serve, [])
    assert serve._named(config) == [f"{box.NAME}={folder}"]
    assert serve._named(configuration.parse("serve", serve, ["m"])) == ["m"]


@pytest.mark.usefixtures("none")
def test_a_tree_without_it_asks_for_a_model() -> None:
    with pytest.raises(UserError, match="KIND missing"):
        asked("fill-mask")
    assert str(asked("fill-mask", "tags", "好").model) == "fill-mask"
    with pytest.raises(UserError, match="serve: MODEL missing"):
        serve.run(configuration.parse("serve", serve, []))
