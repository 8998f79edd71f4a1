"""The documents are true of the tree: map, commands, examples, links.

Code blocks of the READMEs whose first line is a comment with a path are written to that path in an
empty folder; the `hanmo` lines are then parsed there, in order, as the command line would. A
command's resolved settings are stored where it would store them, so that `--config` is read too.
"""

import contextlib
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from hanmo.commands import pretrain
from hanmo.core import config as configuration
from hanmo.core import registry
from hanmo.data.draws import Draws
from hanmo.data.ragged import Sequences
from hanmo.model.config import SIZES
from hanmo.objectives._objective import Vocabulary, make_objective

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "hanmo"
READMES = ("README.md", "README_ZH.md")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS = "hanmo.commands"


def blocks(document: Path, language: str) -> list[str]:
    """Bodies of the fenced blocks of a language ("" is a block without one)."""
    text = document.read_text(encoding="utf-8")
    found = re.findall(r"^```([a-z]*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [body for name, body in found if name == language]


def command_lines(readme: str) -> list[str]:
    lines = [line for body in blocks(ROOT / readme, "sh") for line in body.splitlines()]
    return [line for line in lines if line.startswith("hanmo ")]


def write_examples(readme: str, folder: Path) -> list[Path]:
    """Write the files that a README shows; returns their paths below `folder`."""
    written = []
    for language, comment in (("python", "# "), ("toml", "# ")):
        for body in blocks(ROOT / readme, language):
            first = body.partition("\n")[0]
            if re.fullmatch(rf"{comment}[\w/]+\.(py|toml)", first):
                path = folder / first.removeprefix(comment)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(body, encoding="utf-8")
                written.append(path.relative_to(folder))
    return written


@pytest.fixture(params=READMES)
def examples(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The current folder holds a README's example files; returns the README's name."""
    assert len(write_examples(request.param, tmp_path)) == 4
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    return str(request.param)


@pytest.mark.parametrize("readme", READMES)
def test_the_map_is_the_tree(readme: str) -> None:
    [tree] = [body for body in blocks(ROOT / readme, "") if body.startswith("src/hanmo/")]
    paths = [line.split()[0] for line in tree.splitlines()]
    for path in paths:
        assert (ROOT / path).exists(), f"{readme}: {path} is in the map, not on the disk"
        assert path.endswith("/") == (ROOT / path).is_dir(), path
    on_disk = {init.parent.relative_to(ROOT) for init in PACKAGE.rglob("*/__init__.py")}
    in_map = {Path(path) for path in paths if path.startswith("src/hanmo/") and path[-1] == "/"}
    assert in_map == on_disk - {Path("src/hanmo")}
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("readme", READMES)
def test_files_named_in_a_sentence_exist(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:commands|objectives|model|train|tasks)/\w+\.py)`", text))
    assert len(named) >= 6
    for path in named:
        assert (PACKAGE / path).is_file(), f"{readme}: no src/hanmo/{path}"


def test_both_readmes_have_the_same_commands() -> None:
    english, chinese = ([*blocks(ROOT / readme, "sh")] for readme in READMES)
    assert english == chinese
    assert len(command_lines("README.md")) > 10


def test_every_command_line_parses(examples: str) -> None:
    for line in command_lines(examples):
        name, *words = shlex.split(line)[1:]
        module = registry.load(COMMANDS, name)
        config = configuration.parse(name, module, words)
        out = getattr(config, "out", None)
        if name in ("pretrain", "finetune"):
            assert out is not None
            out.mkdir(parents=True, exist_ok=True)
            stored = configuration.resolved(config, module)
            configuration.write(out / configuration.CONFIG_FILE, stored)


def test_the_readmes_show_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = "\n".join(command_lines("README.md"))
    for name in registry.names(COMMANDS):
        shown = name.replace("_", "-")
        assert f"hanmo {shown}" in lines or f"make {shown}" in text or shown == "train-annotator"


def test_the_objective_of_the_readme(examples: str) -> None:
    objective = make_objective("my/span.py", {"rate": 0.5})
    inner = np.ones(12, dtype=np.bool_)
    inner[[0, -1]] = False
    sequence = Sequences(
        np.arange(100, 112, dtype=np.int32), inner, inner, np.zeros(12, dtype=np.int8), {}
    )
    vocabulary = Vocabulary(200, 4, np.arange(5, 200))
    corrupted = objective.corrupt(sequence, Draws.of(1, sequence.offsets), vocabulary)
    masked = corrupted.inputs["input_ids"]
    assert len(corrupted.positions) == 5
    assert (masked[corrupted.positions] == 4).all()
    assert (masked != sequence.input_ids).sum() == 5
    assert inner[corrupted.positions].all()
    assert (corrupted.targets["pieces"] == sequence.input_ids[corrupted.positions]).all()


def test_the_annotator_of_the_readme(examples: str) -> None:
    annotator = registry.load("hanmo.annotate.annotators", "my/characters.py").Annotator()
    [sentence] = annotator.annotate(["我们 去，好。"])
    sentence.validate()
    assert sentence.forms == list("我们去，好。")
    assert sentence.layers["pos"] == (None, None, None, "wp", None, "wp")


def test_the_task_and_the_kind_of_the_readme(examples: str, tmp_path: Path) -> None:
    import torch

    from hanmo.commands import finetune, predict
    from hanmo.model.checkpoint import save_model
    from hanmo.model.config import EncoderConfig
    from hanmo.model.masked_lm import MaskedLm
    from hanmo.text.tokenizer import Tokenizer

    rows = [("好评", "好"), ("差评", "坏")] * 8
    for name in ("train.csv", "dev.csv"):
        lines = "".join(f"{label},{text}\n" for label, text in rows)
        (Path("my") / name).write_text("label,review\n" + lines, encoding="utf-8")
    task = Path("my/hotels.toml")
    own = task.with_name("linear.toml")
    own.write_text('kind = "my/linear.py"\n' + task.read_text(encoding="utf-8"), encoding="utf-8")
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "好", "坏"]
    torch.manual_seed(0)
    shape = EncoderConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
    )
    save_model(Path("model"), MaskedLm(shape), tokenizer=Tokenizer(vocab))
    for path in (task, own):
        result = finetune.run(
            finetune.Config(
                Path("model"),
                str(path),
                Path("runs") / path.stem,
                learning_rate=0.01,
                epochs=20,
                batch_size=4,
                threads=1,
                save_model=True,
            )
        )
        assert result["dev accuracy"] == 1.0
        model = (Path("runs") / path.stem / "model").resolve()
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        with contextlib.chdir(tmp_path / "elsewhere"):  # the kind is found from anywhere
            made = predict.run(predict.Config(model, "classify", "好"))
        assert made is not None
        assert made["answer"]["label"] == "好评"
        assert sum(one["probability"] for one in made["answer"]["labels"]) == pytest.approx(1)
        assert "好评" in made["text"].splitlines()[2]


def test_the_size_of_the_readme(tmp_path: Path) -> None:
    from hanmo.model.config import size_named

    for readme in READMES:
        [body] = blocks(ROOT / readme, "json")
        path = tmp_path / "mini.json"
        path.write_text(body, encoding="utf-8")
        assert size_named(str(path)).hidden_size == json.loads(body)["hidden_size"]


def anchor(heading: str) -> str:
    """GitHub's anchor of a heading."""
    kept = "".join(c for c in heading.strip().lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, place = target.partition("#")
        file = document.parent / name if name else document
        assert file.exists(), f"{document.name}: no {target}"
        if place:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in map(anchor, headings), f"{document.name}: no heading for {target}"


def test_the_documents_name_every_kind_of_folder() -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    source = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    pattern = r"^KIND = \"(\w+)\"|building\([^)]*?kind=\"(\w+)\""
    found = re.findall(pattern, source, re.MULTILINE)
    kinds = {name for pair in found for name in pair if name}
    assert {"corpus", "sentences", "shards", "checkpoint", "run"} <= kinds
    for kind in kinds:
        assert f"`{kind}`" in text, f"docs/formats.md: no folder of kind {kind!r}"


def test_the_help_of_pretrain_names_every_size() -> None:
    text = " ".join((pretrain.Config.__doc__ or "").split())
    named = text.partition("size: Shape: ")[2].partition(", or a path")[0]
    assert set(named.split(", ")) == set(SIZES)
