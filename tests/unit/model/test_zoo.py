"""The table of published models: its numbers against the published ones, names, sources."""

import dataclasses
import json
import tomllib
from importlib import resources
from pathlib import Path

import pytest
import torch

from hanmo.core.errors import UserError
from hanmo.model import zoo
from hanmo.model.config import SIZES, read_config
from hanmo.model.encoder import Encoder
from hanmo.model.heads import Pooler
from hanmo.model.zoo import Model, find, get, models, of_archive

RECIPES = Path(__file__).parents[3] / "recipes"
BASE, LARGE = 102_267_648, 325_522_432
# READMEs and configuration files of the releases, exact by computation (facts/01 to facts/07).
PUBLISHED = {
    "lert-small": 15_083_776,
    "rbt3": 38_476_800,
    "rbtl3": 61_001_728,
    "rbt4": 45_564_672,
    "rbt6": 59_740_416,
    "rbt6-kd": 59_740_416,
    "minirbt-h256": 10_345_216,
    "minirbt-h288": 12_311_136,
    "rbt4-h312": 11_419_320,
    "electra-small": 12_280_576,
    "electra-small-ex": 24_495_104,
    "electra-base": 101_677_056,
    "electra-large": 324_472_832,
    "electra-small-generator": 3_378_496,
    "electra-small-ex-generator": 6_756_928,
    "electra-base-generator": 22_108_608,
    "electra-large-generator": 41_380_096,
    # Google's checkpoint has 10,669,322 with its heads of MLM and sentence order (facts/05).
    "albert-base": 10_669_322 - 119_816 - 1_538,
    # The index of albert_tiny_zh has 4,295,186 with its heads (facts/05).
    "albert-zh-tiny": 4_295_186 - 119_408 - 626,
    # BERT's uncased English models.
    "english-pert-base": 109_482_240,
    "english-pert-large": 335_141_888,
}
PUBLISHED |= dict.fromkeys(
    ("lert-base", "bert-wwm", "bert-wwm-ext", "roberta-wwm-ext", "macbert-base", "pert-base"), BASE
)
PUBLISHED |= dict.fromkeys(("roberta-wwm-ext-large", "macbert-large", "pert-large"), LARGE)
PUBLISHED |= {"lert-large": LARGE, "bert-base": BASE}
# Models of so many parameters are built whole, not on the meta device.
SMALL = 20_000_000
# Real configuration files → the models that have them.
CONFIGS = {
    "lert/lert_config_{}.json": {size: f"lert-{size}" for size in ("small", "base", "large")},
    "chinese-electra/{}_config.json": {
        f"{size.replace('-', '_')}_{half}": f"{kind}electra-{more}{size}{end}"
        for kind, more in (("", ""), ("", "180g-"), ("legal-", ""))
        for size in ("small", "small-ex", "base", "large")
        for half, end in (("discriminator", ""), ("generator", "-generator"))
        if (kind, size) != ("legal-", "small-ex")
    },
    "minirbt/{}.json": {
        "MiniRBT-h256": "minirbt-h256",
        "MiniRBT-h288": "minirbt-h288",
        "distill_rbt4_312": "rbt4-h312",
        "distill_rbt6": "rbt6-kd",
    },
    "albert_zh/albert_config_{}_google.json": {
        "tiny": "albert-zh-tiny-google",
        "small": "albert-zh-small-google",
    },
    "albert_zh/albert_config_{}.json": {
        size: f"albert-zh-{size}" for size in ("tiny", "base", "large", "xlarge", "xxlarge")
    },
    "textbrewer_roberta_wwm/bert_config{}.json": {"": "roberta-wwm-ext", "_L3": "rbt3"},
}
PAIRS = [(path.format(one), name) for path, of in CONFIGS.items() for one, name in of.items()]
NUMBERS = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("vocab_size", "max_position_embeddings", "type_vocab_size", "initializer_range"),
)


def of_layout(model: Model) -> int:
    """Count the parameters of brightmart's layout: wide positions, a projection without bias."""
    shape = model.shape
    h, f, e = shape.hidden_size, shape.intermediate_size, shape.embedding_width
    layer = 4 * (h * h + h) + 2 * h * f + f + h + 4 * h
    rows = shape.max_position_embeddings + shape.type_vocab_size
    return shape.vocab_size * e + e * h + rows * h + 2 * h + layer + h * h + h


@pytest.mark.parametrize("model", models().values(), ids=lambda model: model.name)
def test_the_shape_gives_the_stated_count(model: Model) -> None:
    expected = of_layout(model) if model.layout else model.shape.parameters(pooler=model.pooler)
    assert model.parameters == expected
    if model.layout:
        return
    with torch.device("cpu" if model.parameters < SMALL else "meta"):
        parts = [Encoder(model.shape), *([Pooler(model.shape)] if model.pooler else [])]
    assert model.parameters == sum(one.numel() for part in parts for one in part.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_stated_count_is_the_published_one(name: str) -> None:
    assert find(name).parameters == PUBLISHED[name]


@pytest.mark.parametrize("kind", ["electra-180g", "legal-electra"])
def test_releases_of_one_shape_have_one_count(kind: str) -> None:
    for model in models().values():
        if model.name.startswith(kind):
            plain = find(model.name.replace(kind, "electra"))
            assert (model.parameters, model.shape) == (plain.parameters, plain.shape)


@pytest.mark.parametrize(("path", "name"), PAIRS, ids=[f"{p}: {n}" for p, n in PAIRS])
def test_the_shape_is_that_of_the_real_configuration(
    path: str, name: str, data_dir: Path, tmp_path: Path
) -> None:
    raw = json.loads((data_dir / "configs" / path).read_text(encoding="utf-8"))
    model = find(name)
    assert {key: raw[key] for key in NUMBERS} == {key: getattr(model.shape, key) for key in NUMBERS}
    assert raw.get("embedding_size", raw["hidden_size"]) == model.shape.embedding_width
    assert raw["hidden_act"] == model.activation
    copy = tmp_path / "config.json"
    copy.write_text(json.dumps({**raw, "model_type": model.family}), encoding="utf-8")
    assert read_config(copy).parameters() == model.shape.parameters()


def test_google_s_albert_has_the_real_configuration(data_dir: Path) -> None:
    path = data_dir / "tf1" / "albert_base_zh_google.index-only" / "albert_config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    model = find("albert-base")
    assert {key: raw[key] for key in NUMBERS} == {key: getattr(model.shape, key) for key in NUMBERS}
    assert raw["hidden_act"] == model.activation
    assert raw["embedding_size"] == model.shape.embedding_width


@pytest.mark.parametrize("model", models().values(), ids=lambda model: model.name)
def test_every_fact_has_a_source(model: Model) -> None:
    assert tuple(sorted(model.sources)) == tuple(sorted(zoo.SOURCED))
    assert all(model.sources.values())
    for text in (model.title, model.corpus, model.objective, model.repository, model.licence):
        assert text
    assert model.shape.model_type == model.family
    assert set(model.hub_heads.values()) <= set(zoo.HEAD_STATES)
    assert bool(model.half) == model.shape.family.discriminates == (not model.pooler)
    assert not model.recipe or (RECIPES / f"{model.recipe}.toml").is_file()
    assert bool(model.archives) <= bool(model.files)
    assert model.verified <= bool(model.id)
    assert model.language in ("zh", "en")


def test_every_recipe_of_a_published_model_is_somebody_s() -> None:
    # These two were never published as models of their own.
    own = {"tiny", "distil-roberta-wwm", "distil-roberta-wwm-large"}
    recipes = {path.stem for path in RECIPES.glob("*.toml")} - own
    assert {model.recipe for model in models().values() if model.recipe} == recipes
    shapes = {}
    for name in recipes:
        size = tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8"))["size"]
        shapes[name] = SIZES[size]
    for model in models().values():
        if model.recipe and model.half != "generator":
            assert model.shape == shapes[model.recipe]


def test_what_the_notes_name_from_memory_is_marked() -> None:
    marked = {model.name for model in models().values() if model.id and not model.verified}
    assert {"rbt4", "rbt6", "bert-base", "albert-base"} <= marked
    assert not marked & {"lert-base", "rbt3", "rbtl3", "electra-180g-small-ex", "minirbt-h288"}


def test_the_table_repeats_nothing() -> None:
    raw = tomllib.loads(
        resources.files("hanmo.model").joinpath(zoo.FILE).read_text(encoding="utf-8")
    )
    names = [model["name"] for series in raw["series"] for model in series["models"]]
    assert len(names) == len(set(names)) == len(models())
    ids = [model.id for model in models().values() if model.id]
    assert len(ids) == len(set(ids))
    published = [(name, model.language) for model in models().values() for name in model.published]
    assert len(published) == len(set(published))
    fields = {field.name for field in dataclasses.fields(Model)} | {"shape", "models"}
    assert {key for series in raw["series"] for key in series} <= fields


@pytest.mark.parametrize(
    "name",
    ["lert-base", "LERT-base", "hfl/chinese-lert-base", "chinese-lert-base", "Chinese-LERT-base"],
)
def test_every_name_finds_a_model(name: str) -> None:
    assert find(name) is models()["lert-base"]
    assert find("bert-base-chinese").name == find("google-bert/bert-base-chinese").name
    assert get("no-such-model") is None


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no published model 'macbrt-base'; did you mean 'macbe"):
        find("macbrt-base")
    with pytest.raises(UserError, match=r"'gpt-4'; hanmo models lists them"):
        find("gpt-4")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chinese_lert_base_L-12_H-768_A-12.zip", ["lert-base"]),
        ("chinese_wwm_ext_L-12_H-768_A-12", ["bert-wwm-ext"]),
        ("chinese_electra_small_L-12_H-256_A-4", ["electra-small", "electra-small-generator"]),
        ("albert_base_zh.tar.gz", ["albert-base"]),
        ("albert_base_zh.zip", ["albert-zh-base"]),
        ("albert_base_zh", ["albert-base", "albert-zh-base"]),
        ("something.zip", []),
    ],
)
def test_an_archive_is_recognised(name: str, expected: list[str]) -> None:
    assert [model.name for model in of_archive(name)] == expected
