"""Walk the whole road on the sample that comes with hanmo, from raw text to scores, in minutes.

In: nothing. Out: a folder with everything that the road makes: corpus, sentences, vocabulary,
shards, a tiny LERT, fine-tuned models, a table of scores, a picture of the losses. Every stage is
printed as the command that does the same, to be repeated with data of your own. The same command
continues an interrupted demo.

    hanmo demo --out hanmo-demo
"""

import dataclasses
import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanmo import samples
from hanmo.annotate.tagsets import TAGSETS
from hanmo.core import config as configuration
from hanmo.core import registry
from hanmo.core.artifact import MANIFEST
from hanmo.core.errors import UserError
from hanmo.core.files import json_lines, write_json
from hanmo.core.flags import hyphens
from hanmo.core.identity import plain
from hanmo.core.log import say

COMMANDS = "hanmo.commands"
# Half of the width and of the layers of "tiny": seconds instead of minutes. The deviation is to the
# width what BERT's 0.02 is to 768.
SHAPE = {
    "vocab_size": 2096,  # pretrain takes the number from the shards
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 512,
    "max_position_embeddings": 128,
    "initializer_range": 0.05,
}
SEEDS = 3
FINETUNE: Mapping[str, Any] = {"tasks": ["sample-reviews"], "save_model": True, "workers": 2}
MASKED = "老人沿着[MASK][MASK]慢慢地走。"
PLAIN = "昨天下午，老师在北京买了三本书。"
HIDDEN = {"mask_words": True}  # each word of PLAIN in turn
REVIEW = "味道很好，下次还来。"
_NOTE = """\
What this shows: that every stage runs, and what each makes. What it cannot show: quality. The
sample is 150 KB of text; published models read 20 GB. The losses end a little below what guessing
by frequency costs, so most fillings are frequent characters, most labels frequent labels, and about
one review in three is judged wrongly. On 60 test reviews and three seeds a difference of less than
10 points between the rows of the table is noise. For a real model give the same commands more
text, --size small or base, and steps in the ten thousands."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of `hanmo demo`.

    Attributes:
        out: Folder to make, or to continue.
        steps: Steps of pre-training.
    """

    out: Path = dataclasses.field(default=Path("hanmo-demo"), metadata={"output": True})
    steps: int = 1200


def run(config: Config) -> dict[str, Any]:
    """Walk the road.

    Returns:
        "text": the summary; "stages": verb, seconds, what was made and figures of each; "picture":
        the PNG; "exit_code" when a signal stopped it.

    Raises:
        UserError: `out` holds something else, or a demo of another length.
    """
    _open(config)
    road = Road()
    try:
        _walk(config, road)
    except Stopped as stop:
        say(f"demo: {stop}; the same command continues")
        return {"exit_code": stop.code}
    picture = config.out / "losses.png"
    _draw(config.out / "lert" / "log.jsonl", picture)
    stages = [plain(stage) for stage in road.stages]
    return {"text": _summary(road, picture), "stages": stages, "picture": str(picture)}


def _walk(config: Config, road: "Road") -> None:
    """Call the verbs one after the other: this is the road."""
    out = config.out
    road.go("prepare", _documents, inputs=[samples.folder() / "text"], out=out / "corpus")
    road.go("annotate", _sentences, corpus=[out / "corpus"], out=out / "sentences")
    road.go("train-vocab", _entries, inputs=[out / "corpus"], out=out / "vocab.txt", size=4000)
    road.go(
        "encode",
        _pieces,
        sentences=out / "sentences",
        vocab=out / "vocab.txt",
        out=out / "shards",
    )
    lert = out / "lert"
    road.go(
        "pretrain",
        lambda result: _losses(lert / "log.jsonl", result),
        shards=out / "shards",
        objective="lert",
        size=str(out / "size.json"),
        steps=config.steps,
        max_length=64,
        batch_size=16,
        learning_rate=4e-4,
        dropout=0.0,
        # Two threads on matrices this small gain little, and wait for each other on a busy machine.
        threads=1,
        resume=lert.exists() and not (lert / MANIFEST).exists(),
        out=lert,
    )
    runs = out / "runs"
    models = [str(lert), f"random:{lert}"]
    road.go("evaluate", _runs, models=models, seeds=SEEDS, out=runs, **FINETUNE)
    road.go("report", _scores, runs=[runs], out=out / "table.md")
    fine_tuned = runs / "lert" / "sample-reviews" / "seed-1" / "model"
    road.go("predict", _filled, model=lert, kind="fill-mask", text=[MASKED])
    road.go("predict", _labelled, model=lert, kind="tags", text=[PLAIN], top_k=3, options=HIDDEN)
    road.go("predict", _classified, model=fine_tuned, kind="classify", text=[REVIEW])


@dataclass(frozen=True, slots=True)
class Stage:
    """What one call of a verb did."""

    verb: str
    settings: Mapping[str, Any]
    command: str
    seconds: float
    made: str
    figures: str


class Stopped(Exception):  # noqa: N818 - a signal more often than an error
    """A stage ended early, by a signal or with a failure of which it has told, and can go on."""

    def __init__(self, verb: str, code: int) -> None:
        super().__init__(f"{verb} ended with exit code {code}")
        self.code = code


class Road:
    """Calls verbs by name, prints each as a command line, and keeps what it did."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    def go(self, verb: str, figures: Callable[[Any], str], **settings: Any) -> None:
        """Run `hanmo VERB` with these settings.

        Args:
            verb: name of the command.
            figures: result of the command → what the summary says of it.
            settings: fields of the command's `Config`.

        Raises:
            Stopped: the command ended with an exit code.
        """
        module = registry.load(COMMANDS, verb)
        config = module.Config(**settings)
        command = command_line(verb, config)
        say(f"\n$ {command}")
        start = time.perf_counter()
        result = module.run(config)
        if result.get("exit_code"):
            raise Stopped(verb, int(result["exit_code"]))
        seconds = round(time.perf_counter() - start, 1)
        if isinstance(result.get("text"), str):
            say(result["text"].rstrip())
        made = str(settings.get("out", ""))
        self.stages.append(Stage(verb, settings, command, seconds, made, figures(result)))
        say(f"  {self.stages[-1].figures}  ({seconds} s)")


def command_line(verb: str, config: Any) -> str:
    """Write a command's `Config` as the command line that gives it; defaults are left out."""
    words, flags = ["hanmo", verb], []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.metadata.get("positional"):
            words += [] if value is None else _words(value)
        elif value not in (_default(field), None) and field.name != "options":
            flags += _flag(field.name, value)
    module = registry.load(COMMANDS, verb)
    for plugin in getattr(module, "PLUGIN", {}):
        if getattr(config, plugin) is None:  # a stage without one, such as encode to shards
            continue
        prefix = configuration.prefix_of(module, getattr(config, plugin))
        for name, value in config.options.items():
            flags += _flag(f"{prefix}.{name}" if prefix else name, value)
    return shlex.join(words + flags)


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _flag(name: str, value: Any) -> list[str]:
    return [f"--{hyphens(name)}", *([] if value is True else _words(value))]


def _words(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def _open(config: Config) -> None:
    """Make the folder, or check that it is a demo of the same length."""
    if config.steps < 1:
        raise UserError(f"--steps: got {config.steps}, expected 1 or more")
    marker, content = config.out / "demo.json", {"steps": config.steps}
    if marker.is_file():
        before = json.loads(marker.read_text(encoding="utf-8"))
        if before != content:
            raise UserError(
                f"{config.out}: holds a demo of {before.get('steps')} steps, not {config.steps}; "
                "choose another --out"
            )
    elif config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
        raise UserError(f"{config.out}: exists and is no demo; choose another --out")
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / "size.json", SHAPE)
    write_json(marker, content)


def _draw(log: Path, picture: Path) -> None:
    from hanmo.report.plots import plot_losses

    plot_losses(log, picture)


def _summary(road: Road, picture: Path) -> str:
    import io

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading, justify in (("stage", "left"), ("seconds", "right"), ("figures", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for stage in road.stages:
        table.add_row(stage.verb, f"{stage.seconds:.1f}", stage.figures)
    table.add_row("all", f"{sum(stage.seconds for stage in road.stages):.1f}", "")
    stream = io.StringIO()
    Console(file=stream, width=100, highlight=False, markup=False, emoji=False).print(table)
    return f"{stream.getvalue()}\nlosses and weights over the steps: {picture}\n\n{_NOTE}\n"


def _documents(result: Mapping[str, Any]) -> str:
    return f"{result['kept']:,} documents, {result['characters']:,} characters"


def _sentences(result: Mapping[str, Any]) -> str:
    layers = [layer for layer in TAGSETS if f"labels_{layer}" in result]
    return f"{result['sentences']:,} sentences, {result['words']:,} words with {', '.join(layers)}"


def _entries(result: Mapping[str, Any]) -> str:
    return f"{result['entries']:,} pieces"


def _pieces(result: Mapping[str, Any]) -> str:
    return f"{result['pieces']:,} pieces, {result['unknown_pieces']:,} of them unknown"


def _losses(log: Path, result: Mapping[str, Any]) -> str:
    """First losses → means over the last tenth of the log."""
    records = [record for _, record in json_lines(log)]
    end = records[-max(1, len(records) // 10) :]
    shown = []
    for key, first in records[0].items():
        if key.startswith("loss/"):
            last = sum(record[key] for record in end) / len(end)
            shown.append(f"{key.removeprefix('loss/')} {first:.2f} → {last:.2f}")
    return f"losses in {result['steps']:,} steps: {', '.join(shown)}"


def _runs(result: Mapping[str, Any]) -> str:
    return f"{result['runs']} runs: 2 models, {SEEDS} seeds"


def _scores(result: Mapping[str, Any]) -> str:
    here = [row for row in result["rows"] if row["source"] == "here"]
    shown = [f"{row['model']} {row['cells']['test']['mean']:.1f} %" for row in here]
    return f"mean test accuracy: {', '.join(shown)}"


def _filled(result: Mapping[str, Any]) -> str:
    [word] = result["answer"]["words"]
    best = word["fillings"][0]
    return f"{result['answer']['filled']} ({best['probability']:.3f})"


def _labelled(result: Mapping[str, Any]) -> str:
    words = result["answer"]["words"]
    shown = []
    for layer in words[0]["layers"]:
        same = sum(word["annotator"][layer] == word["layers"][layer][0]["label"] for word in words)
        shown.append(f"{layer} {same}")
    return f"{len(words)} hidden words; as the annotator: {', '.join(shown)}"


def _classified(result: Mapping[str, Any]) -> str:
    best = result["answer"]["labels"][0]
    return f"{result['answer']['text']} → {best['label']} ({best['probability']:.3f})"
