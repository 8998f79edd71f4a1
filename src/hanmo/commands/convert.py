"""Convert a checkpoint between TensorFlow 1, Hugging Face, PaddleNLP and hanmo, heads included.

In: an archive as downloaded (.zip), a folder, a file of a checkpoint, or a published model's name
or Hugging Face id. Out: a folder in another form, written, read back and compared bit for bit; and
a report: family, size, parameters, which heads there are, and whether the masked-LM head looks
trained. TensorFlow and PaddlePaddle are not needed; no code of a checkpoint is run.

    hanmo convert chinese_lert_base_L-12_H-768_A-12.zip work/lert-base --to hf
    hanmo convert hfl/chinese-roberta-wwm-ext work/roberta-tf1 --to tf1
    hanmo convert work/electra work/electra-paddle --to paddle

An ELECTRA is a folder with a second one, generator/, in it; --half takes one of the two.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanmo.convert.forms import FORMS, PARTS
from hanmo.core.artifact import MANIFEST, building
from hanmo.core.errors import UserError, nearest
from hanmo.model.config import ACTIVATIONS

if TYPE_CHECKING:
    from hanmo.convert.sources import Source

KIND = "converted model"
AFTER_STOP = "the same command begins anew"
_DTYPES = ("float32", "float16", "bfloat16")
_HALVES = ("discriminator", "generator")


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo convert`.

    Attributes:
        source: What to convert: a .zip archive, a folder, a file of a checkpoint, or a published
            model's name or Hugging Face id.
        out: Folder to make.
        to: Form to write: hf, hanmo (the same folder), tf1 or paddle.
        model_config: The model's configuration (JSON), where none or the wrong one lies beside it.
        vocab: The model's vocabulary (vocab.txt), likewise.
        layout: Layout of a TensorFlow 1 checkpoint (bert, lert, electra, albert, albert-zh); by
            default its variables tell.
        activation: Overrides the activation: gelu (erf), gelu_new (tanh) or relu. Google's programs
            mean the tanh form by gelu, Hugging Face the other; by default each is translated.
        generator: With an ELECTRA's discriminator as the source: its generator, published apart;
            what is written has both.
        half: Of an ELECTRA: discriminator or generator; by default both.
        ignore: Variables of a TensorFlow 1 checkpoint to leave out, as patterns with *.
        dtype: Write floating-point weights as float32, float16 or bfloat16; by default as they are.
        keep_optimizer: Keep Adam's moments, where there are any; the step is always kept.
        overwrite: Replace a folder that was converted with other settings.
    """

    source: str = field(metadata={"positional": True})
    out: Path = field(metadata={"output": True, "positional": True})
    to: str
    model_config: Path | None = None
    vocab: Path | None = None
    layout: str | None = None
    activation: str | None = None
    generator: Path | None = None
    half: str | None = None
    ignore: tuple[str, ...] = ()
    dtype: str | None = None
    keep_optimizer: bool = False
    overwrite: bool = False


def run(config: Config) -> dict[str, Any]:
    """Convert.

    Returns:
        The report: "json" for --json, "text" for people.

    Raises:
        UserError: bad settings, no checkpoint, a damaged one, or one that does not fit its
            configuration.
    """
    from hanmo.convert.conversion import convert
    from hanmo.convert.sources import Options, opened

    _check(config)
    path = find(config.source)
    # A checkpoint's index has the checksum of every tensor.
    inputs = {"source": path if path.exists() else path.with_name(f"{path.name}.index")}
    if not path.is_dir() and path.suffix.lower() != ".zip":
        # A file of a checkpoint, or its prefix: what lies beside it is read, too.
        beside = (*path.parent.glob("*.json"), *path.parent.glob("vocab.txt"))
        inputs |= {f"beside/{file.name}": file for file in beside if file.name != MANIFEST}
    for name in ("model_config", "vocab", "generator"):
        if (given := getattr(config, name)) is not None:
            inputs[name] = given
    settings = {
        name: getattr(config, name)
        for name in ("to", "layout", "activation", "half", "ignore", "dtype", "keep_optimizer")
    }
    out = config.out.resolve()  # through a link, to the folder that it names
    for given in inputs.values():
        place = given.resolve()
        if place.is_dir() and (out == place or place in out.parents):
            raise UserError(f"{config.out}: lies in the source {path}; expected a folder elsewhere")
        if out in place.parents:
            raise UserError(f"{config.out}: {given} lies in it; expected a folder elsewhere")
    entered = contextlib.ExitStack()
    with (
        _of_convert(),
        entered,
        building(
            out,
            kind=KIND,
            config=settings,
            inputs=inputs,
            overwrite=config.overwrite,
            resumes=False,
        ) as build,
    ):
        if build.finished:
            return {"text": f"{config.out}: already there, made of the same with these settings\n"}
        entered.push(_removed(build.dir))
        options = Options(
            config.model_config,
            config.vocab,
            config.layout and config.layout.replace("-", "_"),
            config.ignore,
            config.generator,
        )
        with opened(path, build.state_dir / "archive", options) as source:
            report = convert(
                _chosen(source, config),
                build.dir,
                to=config.to,
                where=config.source,
                optimizer=config.keep_optimizer,
            )
        build.counts["parameters"] = sum(report["parameters"].values())
        build.counts["tensors"] = report["tensors"]
    return {"json": {**report, "out": str(config.out)}, "text": text(report, config.out)}


def find(source: str) -> Path:
    """Return the path of a source; a published model is looked up, and fetched if need be.

    Raises:
        UserError: neither a path nor a model that can be had.
    """
    path = Path(source).expanduser()
    if path.exists() or path.with_name(f"{path.name}.index").exists():
        return path
    if path.is_absolute() or len(path.parts) > 2 or path.suffix in {".zip", ".index", ".gz"}:
        raise UserError(
            f"{source}: no such file or folder; expected a .zip archive, a folder, a prefix or a "
            "file of a checkpoint, a published model's name (hanmo models) or a Hugging Face id"
        )
    from hanmo.loading.places import place_of

    return place_of(source).folder


def text(report: Mapping[str, Any], out: Path) -> str:
    """Write the report for people."""
    size = report["size"]
    parts = ", ".join(f"{_title(name)} {count:,}" for name, count in report["parameters"].items())
    lines = [
        ("source", report["source"]),
        (
            "model",
            f"{report['family']}, {size['layers']} layers of {size['hidden']}, {size['heads']} "
            f"heads, vocabulary {size['vocabulary']:,}, {report['hidden_act']}",
        ),
        ("parameters", f"{sum(report['parameters'].values()):,}: {parts}"),
        ("masked-LM head", _judged(report["masked_lm_head"])),
    ]
    if report["labels"]:
        shown = ", ".join(f"{name} ({count})" for name, count in report["labels"].items())
        lines.append(("labels", shown))
    if "generator" in report:
        second = report["generator"]
        lines.append(
            (
                "generator",
                f"{second['size']['layers']} layers of {second['size']['hidden']}; masked-LM head "
                f"{_judged(second['masked_lm_head'])}",
            )
        )
    if report["step"] is not None:
        lines.append(("step", f"{report['step']:,}"))
    lines += [("note", note) for note in report["notes"]]
    lines.append(
        ("written", f"{out} ({report['form']}), {report['tensors']:,} tensors read back the same")
    )
    lines.append(("opens as", _opens(report)))
    width = max(len(name) for name, _ in lines)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in lines)


def _opens(report: Mapping[str, Any]) -> str:
    if report["to"] == "tf1":
        return f"{report['program']}'s checkpoint: {report['program_source']}"
    if report["to"] == "paddle":
        return f"PaddleNLP's {report['class']}"
    tokenizer = "BertTokenizer" if report["vocabulary"] else "no tokenizer (no vocab.txt)"
    return f"{tokenizer} and {report['class']}"


@contextlib.contextmanager
def _of_convert() -> Iterator[None]:
    """Speak of OUT, as this command calls its folder."""
    try:
        yield
    except UserError as error:
        text = str(error).replace("choose another --out", "choose another OUT")
        raise UserError(text) from error.__cause__


def _removed(folder: Path) -> Callable[..., bool]:
    """Remove what a refused or failed conversion leaves: it is not continued."""

    def leave(kind: type[BaseException] | None, *_: object) -> bool:
        if kind is not None and issubclass(kind, Exception):
            shutil.rmtree(folder, ignore_errors=True)
        return False

    return leave


def _title(part: str) -> str:
    first, _, second = part.partition(" ")
    return f"{first} {PARTS[second]}" if second else PARTS[first]


def _judged(head: Mapping[str, Any] | None) -> str:
    if head is None:
        return "none"
    state = "looks trained" if head["trained"] else "RANDOM: its predictions are noise"
    return f"{state} ({'; '.join(head['reasons'])})"


def _check(config: Config) -> None:
    if config.to not in FORMS:
        raise UserError(f"--to: no {config.to!r}{nearest(config.to, FORMS)}")
    if config.half is not None and config.half not in _HALVES:
        raise UserError(f"--half: got {config.half!r}; expected {' or '.join(_HALVES)}")
    if config.dtype is not None and config.dtype not in _DTYPES:
        raise UserError(f"--dtype: got {config.dtype!r}; expected one of {', '.join(_DTYPES)}")
    if config.activation is not None and config.activation not in ACTIVATIONS:
        raise UserError(
            f"--activation: no {config.activation!r}{nearest(config.activation, ACTIVATIONS)}"
        )


def _chosen(source: "Source", config: Config) -> "Source":
    """Apply what the user says of the model."""
    contents = source.contents
    if config.half is not None:
        if contents.generator is None:
            raise UserError(
                f"--half {config.half}: {config.source} holds one model, not an ELECTRA's two"
            )
        contents = contents.half(config.half)
    if config.activation is not None:
        contents = contents.with_activation(config.activation)
    if config.dtype is not None:
        contents = contents.cast(config.dtype)
    return dataclasses.replace(source, contents=contents)
