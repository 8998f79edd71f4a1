"""The published models: names, shapes, counts, heads, files, each fact with its source.

The facts lie in `zoo.toml`; here they are read, checked and found by name. A shape is one of
`SIZES`, with what differs from it: so a number stands once.

    find("hfl/chinese-lert-base").shape.num_hidden_layers    # 12
    of_archive("chinese_wwm_ext_L-12_H-768_A-12.zip")        # the entry "bert-wwm-ext"
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from hanmo.core.errors import UserError, nearest
from hanmo.model.config import SIZES, EncoderConfig

FILE = "zoo.toml"
UNVERIFIED = "unverified"
# States of a head in a release. "random": there, but never trained.
HEAD_STATES = ("trained", "random", UNVERIFIED)
# Facts that have a source.
SOURCED = (
    *("id", "shape", "activation", "parameters", "corpus", "objective", "heads", "archives"),
    "licence",
)
_SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar")


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """One published model.

    Attributes:
        name: hanmo's short name.
        title: its authors' name.
        series: the release that it belongs to.
        id: name at Hugging Face; "" where there is none.
        family: of the encoder, as in `config.json`'s `model_type`.
        size: of `SIZES`, its shape but for `changes`.
        changes: numbers of `EncoderConfig` that differ from that size.
        activation: name of the activation in its configuration file.
        parameters: of the encoder, without heads, exactly.
        pooler: whether they include the pooler, which an ELECTRA has not.
        corpus: what it was trained on.
        objective: what it learned.
        repository: upstream's, at GitHub.
        archives: names of the TF1 archives.
        files: in such an archive: checkpoint (without its suffixes), configuration, vocabulary.
        hub_heads: head → its state in the release at Hugging Face; what is not named is absent.
        archive_heads: what the TF1 archive has beside the encoder.
        licence: of the release.
        cautions: what to know before using it.
        published: its names in the published tables; "SOURCE|NAME" for one table alone, where that
            name means this model only there.
        sources: fact (`SOURCED`) → where it stands.
        language: "zh" or "en"; a published name may mean two models, each for its language.
        half: "discriminator" or "generator" of an ELECTRA.
        layout: "" or the name of a layout of weights that is not transformers'.
        recipe: name in `recipes/`, if there is one.
        aliases: further names.
    """

    name: str
    title: str
    series: str
    family: str
    size: str
    activation: str
    parameters: int
    corpus: str
    objective: str
    repository: str
    archive_heads: str
    licence: str
    sources: Mapping[str, str]
    id: str = ""
    changes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    pooler: bool = True
    archives: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    hub_heads: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cautions: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    language: str = "zh"
    half: str = ""
    layout: str = ""
    recipe: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def shape(self) -> EncoderConfig:
        """The encoder's numbers; activation and dropout are those of the size, not of the model."""
        changes: dict[str, Any] = dict(self.changes)
        return dataclasses.replace(SIZES[self.size], **changes)

    @property
    def verified(self) -> bool:
        """Whether an upstream document confirms the name at Hugging Face."""
        return bool(self.id) and not self.sources["id"].startswith(UNVERIFIED)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that finds it."""
        ids = (self.id, self.id.partition("/")[2]) if self.id else ()
        return (self.name, *ids, *self.aliases)


@cache
def models() -> Mapping[str, Model]:
    """Return every published model by its short name, in the order of the table."""
    text = resources.files("hanmo.model").joinpath(FILE).read_text(encoding="utf-8")
    made = [
        _model(series, own)
        for series in tomllib.loads(text)["series"]
        for own in series.pop("models")
    ]
    return MappingProxyType({model.name: model for model in made})


def get(name: str) -> Model | None:
    """Return the model that a name, title or id at Hugging Face means; None for none."""
    return _by_name().get(name.lower())


def find(name: str) -> Model:
    """Return the model that a name, title or id at Hugging Face means.

    Raises:
        UserError: none; names the nearest.
    """
    found = get(name)
    if found is None:
        close = nearest(name.lower(), _by_name()).partition(" (known")[0]
        raise UserError(f"no published model {name!r}{close}; hanmo models lists them")
    return found


def of_archive(name: str) -> tuple[Model, ...]:
    """Return the models that an archive, or the folder unpacked from it, belongs to.

    Args:
        name: as `chinese_lert_base_L-12_H-768_A-12.zip`, with or without its suffix. An ELECTRA's
            archive holds two models; without their suffix two of ALBERT's are alike.
    """
    exact = tuple(model for model in models().values() if name in model.archives)
    return exact or tuple(
        model for model in models().values() if name in map(_stem, model.archives)
    )


@cache
def _by_name() -> Mapping[str, Model]:
    found: dict[str, Model] = {}
    for model in models().values():
        for name in (*model.names, model.title):
            found.setdefault(name.lower(), model)
    return found


def _stem(archive: str) -> str:
    suffix = next((one for one in _SUFFIXES if archive.endswith(one)), "")
    return archive.removesuffix(suffix)


def _model(series: Mapping[str, Any], own: Mapping[str, Any]) -> Model:
    both: dict[str, Any] = {**series, **own}
    both["sources"] = {**series["sources"], **own.get("sources", {})}
    both["cautions"] = [*series.get("cautions", ()), *own.get("cautions", ())]
    both["changes"] = both.pop("shape", {})
    for key, value in both.items():
        both[key] = tuple(value) if isinstance(value, list) else value
    return Model(**both)
