"""The models of a server: the kinds of answers each gives, and predictors with further options.

A model's weights are loaded once; its kinds of answers and their options share them.
"""

import asyncio
import collections
import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hanmo.core import registry
from hanmo.core.errors import UserError
from hanmo.core.flags import Flag, flags_of
from hanmo.core.log import say
from hanmo.model.checkpoint import CONFIG, read_extra
from hanmo.predict._how import How
from hanmo.predict._networks import open_shared
from hanmo.predict._predictor import Predictor
from hanmo.serve.batcher import Asked

KINDS = "hanmo.predict"
_MOST_ASKED = 64  # predictors with different options that are kept of a model
DEFAULT_TOP_K = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """A question: a kind of answer with a request's options."""

    kind: str
    top_k: int
    options: tuple[tuple[str, Any], ...]


@dataclasses.dataclass(slots=True)
class Served:
    """A model that is served.

    Attributes:
        name: in URLs.
        folder: of the model.
        kinds: kinds of answers that it gives → a predictor with default options.
        engine: what runs it.
        loading: questions whose predictor is being loaded: others wait for the same one.
    """

    name: str
    folder: Path
    how: How
    kinds: Mapping[str, Asked]
    engine: str
    loading: dict[Key, "asyncio.Future[Asked]"] = dataclasses.field(
        default_factory=dict[Key, "asyncio.Future[Asked]"]
    )
    _asked: "collections.OrderedDict[Key, Asked]" = dataclasses.field(
        default_factory=collections.OrderedDict
    )

    def find(self, key: "Key") -> Asked | None:
        """Return the predictor of a question, if it is loaded."""
        if key == usual(key.kind):
            return self.kinds[key.kind]
        if key in self._asked:
            self._asked.move_to_end(key)
        return self._asked.get(key)

    def load(self, key: "Key") -> Asked:
        """Load the predictor of a question; the model's weights are there already.

        Raises:
            UserError: a value that the kind refuses.
        """
        made = load(self.folder, key.kind, self.how, top_k=key.top_k, options=dict(key.options))
        return Asked(self.name, key.kind, made)

    def keep(self, key: "Key", asked: Asked) -> None:
        """Keep a predictor; of many the one that was not asked for longest goes."""
        self._asked[key] = asked
        if len(self._asked) > _MOST_ASKED:
            self._asked.popitem(last=False)

    def told(self) -> dict[str, Any]:
        """Describe the model for clients: nothing of the machine's paths."""
        raw = json.loads((self.folder / CONFIG).read_text(encoding="utf-8"))
        extra = read_extra(self.folder)
        labels = raw.get("id2label") or {}
        facts: dict[str, Any] = {
            "name": self.name,
            "engine": self.engine,
            "kinds": {
                kind: {
                    "fields": list(one.predictor.fields),
                    "optional_fields": list(one.predictor.optional_fields),
                }
                for kind, one in self.kinds.items()
            },
        }
        if extra.get("task"):
            facts["task"] = extra["task"]
        if labels and extra.get("kind"):
            facts["labels"] = [labels[key] for key in sorted(labels, key=int)]
        if extra.get("layers"):
            facts["layers"] = extra["layers"]
        return facts


@functools.cache
def usual(kind: str) -> Key:
    """Return the question of a kind with default options."""
    options = sorted((flag.name, flag.default) for flag, _ in options_of(kind))
    return Key(kind, DEFAULT_TOP_K, tuple(options))


def options_of(kind: str) -> list[tuple[Flag, int | None]]:
    """Return the options of a kind that a request may set, and the most that it may ask for."""
    made = registry.member(KINDS, kind, "Predict")
    told = {one.name: one.metadata for one in dataclasses.fields(made)}
    return [
        (flag, told[flag.name].get("most_served"))
        for flag in flags_of(made)
        if told[flag.name].get("served", True)
    ]


def load(
    folder: Path,
    kind: str,
    how: How,
    *,
    top_k: int = DEFAULT_TOP_K,
    options: Mapping[str, Any] | None = None,
) -> Predictor:
    """Load a predictor of a folder."""
    made = registry.member(KINDS, kind, "Predict")
    predictor: Predictor = made(**(options or {})).load(folder, top_k=top_k, how=how)
    return predictor


def open_models(named: Mapping[str, Path], how: How) -> dict[str, Served]:
    """Load models: name → what is served.

    Raises:
        UserError: a folder that is no model, or gives no answers.
    """
    served = {}
    for name, folder in named.items():
        own = dataclasses.replace(how, shared={})
        asked: dict[str, Asked] = {}
        lacking: list[UserError] = []
        for kind in open_shared(folder, own):
            try:
                asked[kind] = Asked(name, kind, load(folder, kind, own))
            except UserError as error:
                lacking.append(error)
        if not asked:
            raise lacking[0]
        for why in lacking:
            say(f"serve: {name}: left out: {why}")
        engine = next(iter(asked.values())).predictor.engine
        served[name] = Served(name, folder, own, asked, engine)
    return served


def named(models: Sequence[str]) -> dict[str, Path]:
    """Read NAME=FOLDER or FOLDER, whose name is then that of the folder.

    Raises:
        UserError: a name twice, one that is not fit for a URL, or no such folder.
    """
    found: dict[str, Path] = {}
    for given in models:
        name, equals, rest = given.partition("=")
        folder = Path(rest if equals else given)
        name = name if equals else _name_of(folder)
        if not name or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name):
            raise UserError(
                f"{given}: {name!r} is no name for a URL; expected letters, digits, - _ . as in "
                "reviews=work/runs/reviews/seed-1/model"
            )
        if name in found:
            raise UserError(
                f"{given}: {found[name]} is named {name} too; name them, as in other={folder}"
            )
        if not (folder / CONFIG).is_file():
            raise UserError(
                f"{folder}: no model folder (no {CONFIG} there); expected one that hanmo pretrain, "
                "finetune or export made, or Hugging Face's"
            )
        found[name] = folder
    return found


def _name_of(folder: Path) -> str:
    """Name a model by its folder; by the parts above where it is just "model"."""
    parts = folder.resolve().parts
    if parts[-1] != "model" or len(parts) < 4:
        return parts[-1]
    # A run's folder: MODEL/TASK/seed-1/model, or OUT/seed-1/model.
    return "-".join(parts[-3:-1])
