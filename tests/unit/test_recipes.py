"""Every recipe is read, builds its model on the meta device, and has the published size."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from hanmo.annotate.tagsets import TAGSETS
from hanmo.commands import _pretraining, _starting, pretrain
from hanmo.core import config as configuration
from hanmo.core.errors import UserError
from hanmo.distill.matches import check_matches
from hanmo.model.config import SIZES, size_named
from hanmo.model.heads import Pooler
from hanmo.model.masked_lm import MaskedLm
from hanmo.objectives._objective import make_objective

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
_ASSIGNS = re.compile(r"[a-z_]+ *=")
# Encoder with pooler, without heads: facts/02 (BERT-wwm, RBT), facts/03, facts/01 (LERT).
WITH_POOLER = {
    "bert-wwm": 102_267_648,
    "bert-wwm-ext": 102_267_648,
    "roberta-wwm-ext": 102_267_648,
    "roberta-wwm-ext-large": 325_522_432,
    "rbt3": 38_476_800,
    "rbt4": 45_564_672,
    "rbt6": 59_740_416,
    "rbtl3": 61_001_728,
    "rbt6-kd": 59_740_416,
    "minirbt-h256": 10_345_216,  # facts/07
    "minirbt-h288": 12_311_136,
    "rbt4-h312": 11_419_320,
    "distil-roberta-wwm": 59_740_416,
    "distil-roberta-wwm-large": 102_267_648,
    "macbert-base": 102_267_648,
    "macbert-large": 325_522_432,
    "pert-base": 102_267_648,
    "pert-large": 325_522_432,
    "lert-small": 15_083_776,
    "lert-base": 102_267_648,
    "lert-large": 325_522_432,
}
# Without pooler: facts/04.
WITHOUT = {
    "electra-small": 12_280_576,
    "electra-small-ex": 24_495_104,
    "electra-base": 101_677_056,
    "electra-large": 324_472_832,
}
WITHOUT |= {f"legal-{n}": WITHOUT[n] for n in ("electra-small", "electra-base", "electra-large")}
# Google's ALBERT-base for Chinese has 10,669,322 parameters in its released checkpoint, with the
# heads of MLM (119,816) and of sentence order (1,538). albert_zh rounds its tiny one to 4M.
ALBERT = {"albert-tiny": 4_080_520, "albert-base": 10_669_322 - 119_816 - 1_538}


def read(path: Path, *words: str) -> Any:
    line = [*words, "--config", str(path)]
    return configuration.parse("pretrain", pretrain, ["shards", "--out", "out", *line])


def test_there_is_a_recipe_for_every_published_model() -> None:
    assert {path.stem for path in RECIPES} == {*WITH_POOLER, *WITHOUT, *ALBERT, "tiny"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_builds_the_published_model(path: Path) -> None:
    config = read(path)
    phases = _pretraining.phases_of(config)
    assert phases.steps == config.steps
    assert config.size in SIZES
    objective = make_objective(config.objective, config.options)
    shape = size_named(config.size)
    assert phases.max_length <= shape.max_position_embeddings
    with torch.device("meta"):
        model: Any = (
            MaskedLm(shape)  # beside teachers, of which a recipe has none
            if config.objective == "distill"
            else objective.build(shape, {name: tuple(tags) for name, tags in TAGSETS.items()})
        )
        n_encoder = sum(p.numel() for p in model.encoder.parameters())
        n_pooler = sum(p.numel() for p in Pooler(shape).parameters())
    expected = {**WITH_POOLER, **ALBERT}.get(path.stem, WITHOUT.get(path.stem, 0) + n_pooler)
    if path.stem != "tiny":
        assert n_encoder + n_pooler == expected


# Recipe → its teacher's size, and the depth that is to be reached.
TEACHERS = {
    "rbt6-kd": "base",
    "minirbt-h256": "rbt6",
    "minirbt-h288": "rbt6",
    "rbt4-h312": "base",
    "distil-roberta-wwm": "base",
    "distil-roberta-wwm-large": "large",
}


def test_recipes_of_distillation_fit_their_teachers() -> None:
    distilling = {path.stem for path in RECIPES if read(path).objective == "distill"}
    assert distilling == TEACHERS.keys()
    for path in (path for path in RECIPES if path.stem in TEACHERS):
        config = read(path)
        matches: Any = make_objective("distill", config.options)
        teacher, student = SIZES[TEACHERS[path.stem]], size_named(config.size)
        check_matches(matches.parsed, teacher, student)
        last = matches.parsed[-1]
        assert last.teacher == (teacher.num_hidden_layers,), path.stem
        assert last.student == (student.num_hidden_layers,), path.stem


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_number_of_a_recipe_has_its_source(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert all(len(line) <= 110 for line in text.splitlines())
    stated = {**tomllib.loads(text)}
    options = stated.pop(stated["objective"], {})
    defaults = {f.name: f.default for f in pretrain.Config.__dataclass_fields__.values()}
    assert set(stated) <= set(defaults)
    known = make_objective(stated["objective"], {}).__dataclass_fields__  # type: ignore[attr-defined]
    assert set(options) <= set(known)
    if path.stem != "tiny":
        assert "facts/" in text or "unverified" in text
    bare = [line for line in text.splitlines() if _ASSIGNS.match(line) and "#" not in line]
    assert not bare, "each number says where it comes from"


def test_flags_win_over_a_recipe() -> None:
    path = next(path for path in RECIPES if path.stem == "lert-base")
    config = read(path, "--steps", "1000", "--lert.rate", "0.2")
    assert config.steps == 1000
    assert config.options["rate"] == 0.2
    assert config.batch_size == 1024


def test_a_recipe_of_some_layers_wants_a_model() -> None:
    path = next(path for path in RECIPES if path.stem == "rbt3")
    with pytest.raises(UserError, match="--layers: chooses layers of a model; pass --init MODEL"):
        _starting.chosen_layers(read(path))
