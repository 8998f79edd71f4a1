"""List the published models: shapes, counts, corpora, scores, how to load them.

list (the default) prints a table; words after it, and --family, choose among the models. show tells
everything about one: its heads, its archives, its published scores, what to beware of, and where
each fact stands. `hanmo.load(NAME)` opens one in Python (docs/models.md).

    hanmo models
    hanmo models list electra 180g
    hanmo models list --family albert
    hanmo models show lert-base
"""

import dataclasses
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hanmo.core.errors import UserError, nearest
from hanmo.model import zoo
from hanmo.model.families import FAMILIES
from hanmo.report.published import Figure, scores_of
from hanmo.tasks.listing import aligned

_WIDTH = 100
_CORPUS = 44  # columns of a corpus in the table


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo models`.

    Attributes:
        action: list or show.
        names: For list: words that a model must have in its name, id, corpus or objective; for
            show: names or Hugging Face ids.
        family: For list: bert, electra, albert or distilbert.
    """

    action: str = field(default="list", metadata={"positional": True})
    names: list[str] = field(default_factory=list[str], metadata={"positional": True})
    family: str | None = None


def run(config: Config) -> dict[str, Any]:
    """Do one action.

    Returns:
        "text" for people and "json" for --json.

    Raises:
        UserError: no such action, family or model, or nothing that the words fit.
    """
    if config.action not in _ACTIONS:
        known = zoo.get(config.action) is not None
        hint = (
            f"; did you mean: hanmo models show {config.action}?"
            if known
            else nearest(config.action, _ACTIONS)
        )
        raise UserError(f"models: no action {config.action!r}{hint}")
    return _ACTIONS[config.action](config)


def _list(config: Config) -> dict[str, Any]:
    if config.family is not None and config.family not in FAMILIES:
        raise UserError(f"--family: no {config.family!r}{nearest(config.family, FAMILIES)}")
    words = [word.lower() for word in config.names]
    chosen = [
        model
        for model in zoo.models().values()
        if config.family in (None, model.family) and all(word in _all_of(model) for word in words)
    ]
    if not chosen:
        asked = " ".join([*config.names, *([f"--family {config.family}"] if config.family else [])])
        raise UserError(f"models: none fits {asked!r}; hanmo models lists all of them")
    return {"text": _table(chosen), "json": [_listed(model) for model in chosen]}


def _show(config: Config) -> dict[str, Any]:
    if config.family is not None:
        raise UserError("--family: belongs to hanmo models list")
    if not config.names:
        raise UserError("models show: no model named; expected names (hanmo models lists them)")
    chosen = [zoo.find(name) for name in dict.fromkeys(config.names)]
    shown = [_described(model) for model in chosen]
    return {
        "text": "\n".join(map(_text, chosen)),
        "json": shown[0] if len(shown) == 1 else shown,
    }


def _all_of(model: zoo.Model) -> str:
    texts = (*model.names, model.title, model.series, model.corpus, model.objective)
    return " ".join((*texts, model.repository, model.half)).lower()


def _listed(model: zoo.Model) -> dict[str, Any]:
    shape = model.shape
    return {
        "name": model.name,
        "id": model.id,
        "verified": model.verified,
        "series": model.series,
        "family": model.family,
        "layers": shape.num_hidden_layers,
        "hidden": shape.hidden_size,
        "heads": shape.num_attention_heads,
        "parameters": model.parameters,
        "corpus": model.corpus,
    }


def _table(chosen: Sequence[zoo.Model]) -> str:
    head = ("name", "Hugging Face id", "family", "L", "H", "heads", "parameters", "corpus")
    rows = [
        (
            model.name,
            _id(model),
            model.family,
            str(model.shape.num_hidden_layers),
            str(model.shape.hidden_size),
            str(model.shape.num_attention_heads),
            f"{model.parameters:,}",
            textwrap.shorten(model.corpus, _CORPUS, placeholder=" …"),
        )
        for model in chosen
    ]
    lines = aligned([head, *rows])
    made, series = [lines[0]], ""
    for model, line in zip(chosen, lines[1:], strict=True):
        if model.series != series:
            series = model.series
            made += ["", f"{series}: {model.repository}"]
        made.append(line)
    made += [
        "",
        "L layers of width H; parameters of the encoder without heads (docs/models.md).",
        "? marks an id that no upstream document confirms; - is a model without one.",
        "hanmo models show NAME says all of one.",
    ]
    return "\n".join(made) + "\n"


def _id(model: zoo.Model) -> str:
    return model.id + ("" if model.verified else " ?") if model.id else "-"


def _described(model: zoo.Model) -> dict[str, Any]:
    return {
        **{one.name: getattr(model, one.name) for one in dataclasses.fields(model)},
        "verified": model.verified,
        "shape": dataclasses.asdict(model.shape) | {"hidden_act": model.activation},
        "load": _loading(model),
        "scores": [dataclasses.asdict(score) for score in scores_of(model)],
    }


def _loading(model: zoo.Model) -> dict[str, str]:
    """Return what one types, and the classes that come of it; nothing where nothing opens it."""
    if not model.id:
        return {}
    head = next((name for name, state in model.hub_heads.items() if state == "trained"), "encoder")
    suffix = {"encoder": "Model", "masked-lm": "ForMaskedLM", "pre-training": "ForPreTraining"}
    title = FAMILIES[model.family].title
    return {
        "code": f'tokenizer, model = hanmo.load("{model.name}", head="{head}")',
        "tokenizer": "BertTokenizer",
        "class": title + suffix.get(head, "ForQuestionAnswering"),
    }


def _text(model: zoo.Model) -> str:
    shape = model.shape
    lines = [f"{model.name}: {model.title}", ""]
    numbers = (
        f"{shape.num_hidden_layers} layers, width {shape.hidden_size}, embeddings "
        f"{shape.embedding_width}, FFN {shape.intermediate_size}, "
        f"{shape.num_attention_heads} heads, {shape.vocab_size:,} pieces"
    )
    with_pooler = "with pooler, without heads" if model.pooler else "without pooler and heads"
    half = f" ({model.half})" if model.half else ""
    facts = {
        "id": _id(model),
        "family": model.family + half,
        "shape": numbers,
        "activation": model.activation,
        "parameters": f"{model.parameters:,} ({with_pooler})",
        "corpus": model.corpus,
        "objective": model.objective,
        "heads": f"at Hugging Face: {_heads(model.hub_heads)}; in TF1: {model.archive_heads}",
        "archives": _archives(model),
        "licence": model.licence,
    }
    for name, value in facts.items():
        lines += _wrapped(name, value)
        if name in model.sources:
            lines += _wrapped("    source", model.sources[name])
    lines += _wrapped("repository", f"https://github.com/{model.repository}")
    if model.recipe:
        lines.append(f"recipe: recipes/{model.recipe}.toml")
    lines += ["", *_getting(model), "", *_cautions(model), "", *_scores(model)]
    return "\n".join(lines) + "\n"


def _heads(heads: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {state}" for name, state in heads.items()) or "none known"


def _archives(model: zoo.Model) -> str:
    if not model.archives:
        return "-"
    return f"{', '.join(model.archives)}, with {', '.join(model.files)}"


def _getting(model: zoo.Model) -> list[str]:
    lines = ["how to get and load it"]
    loading = _loading(model)
    if loading:
        lines += [f"  {loading['code']}", f"    {loading['tokenizer']} and {loading['class']}"]
        where = f"https://huggingface.co/{model.id}"
        lines += _wrapped(
            "  without a network",
            f"put config.json, vocab.txt and model.safetensors (or pytorch_model.bin) of {where} "
            "into a folder and give its path instead of the name",
        )
    if model.archives:
        lines += _wrapped(
            "  from the TF1 archive",
            f"get it by the links in https://github.com/{model.repository}"
            + ("" if model.layout else "; hanmo convert ARCHIVE OUT --to hf makes a folder of it"),
        )
    return lines if len(lines) > 1 else [*lines, "  no release is known"]


def _cautions(model: zoo.Model) -> list[str]:
    cautions = list(model.cautions)
    if model.id and not model.verified:
        cautions.append("the id at Hugging Face is unverified")
    if not cautions:
        return ["cautions: none known"]
    return ["cautions", *(line for one in cautions for line in _wrapped("  -", one, mark=" "))]


def _scores(model: zoo.Model) -> list[str]:
    scores = scores_of(model)
    if not scores:
        return ["published scores: none of this model"]
    rows = [("  task", "split", "metric", "max", "mean", "source")]
    rows += [
        (f"  {one.task}", one.split, one.metric, *_figure(one.figure), one.figure.source)
        for one in scores
    ]
    return ["published scores (percent; hanmo report prints the same beside yours)", *aligned(rows)]


def _figure(figure: Figure) -> tuple[str, str]:
    best, mean = (
        "-" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")
        for value in (figure.best, figure.mean)
    )
    return best, mean


def _wrapped(title: str, content: str, *, mark: str = ": ") -> list[str]:
    before = " " * (len(title) - len(title.lstrip()) + 2)
    return textwrap.wrap(
        f"{title}{mark}{content}",
        _WIDTH,
        subsequent_indent=before + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


_ACTIONS: Mapping[str, Callable[[Config], dict[str, Any]]] = {"list": _list, "show": _show}
