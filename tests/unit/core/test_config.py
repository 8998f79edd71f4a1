"""Defaults < file < flags, strict; what is resolved can be written, read and gives the same."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanmo.core import config as configuration
from hanmo.core import flags as flag_names
from hanmo.core import registry
from hanmo.core.config import parse, read, resolved, write
from hanmo.core.conform import conform, element, without_none
from hanmo.core.errors import UserError
from hanmo.core.flags import flags_of

COMMANDS = registry.names("hanmo.commands")
# Texts that YAML, which jsonargparse speaks, would take for something else.
ODD_TEXTS = ["null", "#1", "[MASK]", "1e5", "true", "{a: b}", "- x", "12", "a: b", " x ", "", "是"]


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a toy command.

    Attributes:
        inputs: What to read; 100% of it.
        out: Where to write, which may take
            two lines.
        text: A text.
        name: Another.
        steps: A count.
        rate: A share.
        fast: Off by default.
        exact: On by default.
        peak: A number or None.
        mode: One of two.
        shares: Some numbers.
        splits: Some texts.
        ends: Numbers by name.
        vocab: A file.
    """

    inputs: list[Path] = dataclasses.field(metadata={"positional": True})
    out: Path
    text: str | None = None
    name: str = "x"
    steps: int = 3
    rate: float = 0.1
    fast: bool = False
    exact: bool = True
    peak: float | None = None
    mode: Literal["old", "new"] = "old"
    shares: tuple[float, ...] = (0.1, 0.2)
    splits: list[str] | None = None
    ends: Mapping[str, float] = dataclasses.field(default_factory=dict)
    vocab: Path | None = None


TOY = cast(ModuleType, SimpleNamespace(__doc__="A toy.", Config=Config))
NEEDED = ("a.txt", "b.txt", "--out", "work")
PRETRAIN = registry.load("hanmo.commands", "pretrain")
SHARDS = ("work/shards", "--out", "o", "--steps", "5")


def toy(*argv: str) -> Config:
    config = parse("toy", TOY, [*NEEDED, *argv])
    assert isinstance(config, Config)
    return config


def refusal(*argv: str, command: str = "toy", module: ModuleType = TOY) -> str:
    with pytest.raises(UserError) as caught:
        parse(command, module, argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "recipe.toml"


def test_defaults_then_file_then_flags(file: Path) -> None:
    default = Config([Path("a.txt"), Path("b.txt")], Path("work"))
    assert toy() == default
    file.write_text('steps = 7\nrate = 0.5\nname = "file"\n')
    from_file = dataclasses.replace(default, steps=7, rate=0.5, name="file")
    assert toy("--config", str(file)) == from_file
    assert toy(f"--config={file}", "--rate", "0.9") == dataclasses.replace(from_file, rate=0.9)
    assert toy("--rate=0.9", "--config", str(file), "--name", "x").name == "x"


def test_a_field_whose_name_is_a_keyword(file: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Keyword:
        """Settings.

        Attributes:
            from_: A file at hand.
        """

        from_: Path | None = None

    module = cast(ModuleType, SimpleNamespace(__doc__="A toy.", Config=Keyword))
    made = parse("toy", module, ["--from", "a.zip"])
    assert made == Keyword(Path("a.zip"))
    assert resolved(made, module) == {"from": "a.zip"}
    file.write_text('from = "a.zip"\n')
    assert parse("toy", module, ["--config", str(file)]) == made
    file.write_text('from_ = "a.zip"\n')
    assert "did you mean 'from'?" in refusal("--config", str(file), module=module)
    assert parse("toy", module, []) == Keyword()


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--peak", "none"], {"peak": None}),
        (["--peak=none", "--steps", "8"], {"peak": None, "steps": 8}),
        (["--splits", "none", "--text", "y"], {"splits": None, "text": "y"}),
        (
            ["--peak", "none", "c.txt"],
            {"peak": None, "inputs": [*map(Path, ("a.txt", "b.txt", "c.txt"))]},
        ),
        (["--peak", "none", "--peak=none"], {"peak": None}),
        (["--steps", "none", "--shares", "none"], {"steps": 3, "shares": (0.1, 0.2)}),
        (["--fast", "none"], {"fast": False}),
        (["--fast", "none", "--fast"], {}),
        (["--fast", "c.txt"], {"inputs": [*map(Path, ("a.txt", "b.txt", "c.txt"))]}),
        (["--peak", "8", "--peak=9", "--peak", "none"], {"peak": None}),
        (["--peak", "none", "--peak", "8"], {"peak": 8.0}),
        (["--text", "none"], {}),  # of which the file says nothing
        # What may be a value, and more words than the one, are values as any other.
        (["--name", "none"], {"name": "none"}),
        (["--splits", "none", "dev"], {"splits": ["none", "dev"]}),
        (["--splits", "dev", "none"], {"splits": ["dev", "none"]}),
    ],
)
def test_none_takes_back_what_a_file_says(
    file: Path, words: list[str], changed: dict[str, Any]
) -> None:
    file.write_text(
        'peak = 7.0\nsplits = ["a"]\nname = "file"\nsteps = 7\nshares = [1]\nfast = true\n'
    )
    from_file = toy("--config", str(file))
    assert (from_file.peak, from_file.splits, from_file.name) == (7.0, ["a"], "file")
    assert toy("--config", str(file), *words) == dataclasses.replace(from_file, **changed)


def test_none_is_a_text_where_there_is_no_file() -> None:
    assert toy("--text", "none").text == "none"
    assert "--steps: " in refusal(*NEEDED, "--steps", "none")


def test_none_takes_back_options_of_a_plug_in(file: Path) -> None:
    file.write_text('size = "tiny"\nobjective = "distill"\n[distill]\ntop_k = 3\nmatches = ["a"]\n')
    words = ["--config", str(file), "--size", "none", "--distill.matches", "none"]
    made = parse("pretrain", PRETRAIN, [*SHARDS, *words, "--distill.top-k", "none"])
    assert made.size is made.options["top_k"] is None
    assert made.options["matches"] == ()


def test_json_files_as_well(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"steps": 7, "peak": None, "splits": ["dev"]}))
    config = toy("--config", str(path))
    assert (config.steps, config.peak, config.splits) == (7, None, ["dev"])


def test_every_type_as_a_flag() -> None:
    config = toy(
        *("--text", "字", "--steps", "-4", "--rate", "1e-4", "--fast", "--exact", "false"),
        *("--peak", "2", "--mode", "new", "--shares", "1", "0.5", "--splits", "dev", "test"),
        *("--ends", '{"pos": 0.5}', "--vocab", "v.txt"),
    )
    assert config == Config(
        [Path("a.txt"), Path("b.txt")],
        Path("work"),
        text="字",
        steps=-4,
        rate=1e-4,
        fast=True,
        exact=False,
        peak=2.0,
        mode="new",
        shares=(1.0, 0.5),
        splits=["dev", "test"],
        ends={"pos": 0.5},
        vocab=Path("v.txt"),
    )
    assert toy("--ends.pos", "0.5").ends == {"pos": 0.5}


def test_every_type_in_a_file(file: Path) -> None:
    file.write_text(
        'inputs = ["c.txt"]\nout = "o"\ntext = "字"\nsteps = -4\nrate = 1\nfast = true\n'
        'exact = false\npeak = 2\nmode = "new"\nshares = [1, 0.5]\nsplits = "dev"\n'
        'vocab = "v.txt"\n[ends]\npos = 1\n'
    )
    config = parse("toy", TOY, ["--config", str(file)])
    assert config == Config(
        [Path("c.txt")],
        Path("o"),
        text="字",
        steps=-4,
        rate=1.0,
        fast=True,
        exact=False,
        peak=2.0,
        mode="new",
        shares=(1.0, 0.5),
        splits=["dev"],
        ends={"pos": 1.0},
        vocab=Path("v.txt"),
    )
    assert isinstance(config.rate, float)
    assert isinstance(config.ends["pos"], float)
    assert parse("toy", TOY, ["a.txt", "--config", str(file)]).inputs == [Path("a.txt")]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_a_text_is_a_text_whatever_it_looks_like(file: Path, text: str) -> None:
    config = toy(f"--text={text}", f"--name={text}")
    assert (config.text, config.name) == (text, text)
    write(file, {"text": text, "name": text})
    config = toy("--config", str(file))
    assert (config.text, config.name) == (text, text)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('steps = "x"', "steps: got 'x'; expected a whole number"),
        ('steps = "3"', "steps: got '3'; expected a whole number"),
        ("steps = 1.5", "steps: got 1.5; expected a whole number"),
        ("steps = true", "steps: got True; expected a whole number"),
        ('rate = "x"', "rate: got 'x'; expected a number"),
        ('peak = "x"', "peak: got 'x'; expected a number"),
        ('fast = "yes"', "fast: got 'yes'; expected true or false"),
        ("exact = 1", "exact: got 1; expected true or false"),
        ('mode = "odd"', "mode: got 'odd'; expected one of 'old', 'new'"),
        ("name = 3", "name: got 3; expected a text"),
        ("text = [1]", "text: got [1]; expected a text"),
        ('shares = ["x"]', "shares: got ['x']; expected a number"),
        ("inputs = 3", "inputs: got 3; expected a list, each of it a path"),
        ("ends = 3", "ends: got 3; expected a table of names, each with a number"),
        ('ends = {pos = "x"}', "ends: got {'pos': 'x'}; expected a number"),
        ("vocab = 3", "vocab: got 3; expected a path"),
        ("stepps = 3", "unknown key 'stepps'; did you mean 'steps'? (known: ends, exact, fast,"),
        ("[lert]\nrate = 1", "unknown key 'lert'"),
        ("json = true", "unknown key 'json'"),
        ("steps =", "Invalid value"),
    ],
)
def test_a_bad_file_names_file_key_and_what_is_expected(
    file: Path, line: str, message: str
) -> None:
    file.write_text(line + "\n")
    refused = refusal(*NEEDED, "--config", str(file))
    assert refused.startswith(f"--config {file}: {message}")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--stepps", "3"], "toy: unknown argument --stepps; did you mean '--steps'?; see"),
        (["--stepps=3"], "toy: unknown argument --stepps=3; did you mean '--steps'?; see"),
        (["--step", "3"], "toy: unknown argument --step; did you mean '--steps'?; see"),
        (["--xyz"], "toy: unknown argument --xyz; see: hanmo toy --help"),
        (["--steps", "x"], "toy: --steps: Expected a whole number. Got value: x; see"),
        (["--steps", "1.5"], "toy: --steps: Expected a whole number. Got value: 1.5"),
        (["--peak", "x"], "toy: --peak: Expected a number. Got value: x"),
        (["--shares", "x"], "toy: --shares element 1: Expected a number. Got value: x"),
        (["--mode", "odd"], "toy: --mode: Expected one of ['old', 'new']. Got value: odd"),
        (["--steps"], "toy: argument --steps: expected one argument"),
        (["--config"], "toy: argument --config: expected one argument"),
    ],
)
def test_bad_flags(argv: list[str], message: str) -> None:
    assert refusal(*NEEDED, *argv).startswith(message)


def test_what_is_missing_is_named() -> None:
    assert refusal() == "toy: INPUTS, --out missing; see: hanmo toy --help"
    assert refusal("a.txt") == "toy: --out missing; see: hanmo toy --help"


def test_files_that_are_none(tmp_path: Path) -> None:
    assert (
        refusal("--config", f"{tmp_path}/no.toml") == f"--config {tmp_path}/no.toml: no such file"
    )
    assert "no config.toml or manifest.json in this folder" in refusal("--config", str(tmp_path))
    for text, message in {
        "[1]": "a JSON list; expected an object",
        "{": "expected TOML (or",
    }.items():
        (tmp_path / "a.json").write_text(text)
        assert message in refusal("--config", f"{tmp_path}/a.json")
    (tmp_path / "a.toml").write_bytes(b"name = '\xff'")
    assert "expected TOML" in refusal("--config", f"{tmp_path}/a.toml")


def test_help_shows_every_setting_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        toy("--help")
    assert not stop.value.code
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "A toy.",
        "What to read; 100% of it.",
        "Where to write, which may take two lines.",
    ):
        assert part in text
    for flag in ("--out", "--steps", "--exact", "--config", "--json", "(default: 0.1)"):
        assert flag in text


# Plug-ins: the objectives of `pretrain`.


def test_options_of_a_plug_in_as_flags_and_as_a_table(file: Path) -> None:
    default = parse("pretrain", PRETRAIN, SHARDS)
    assert default.objective == "lert"
    assert default.options["layers"] == ("pos", "ner", "dep")
    by_flags = parse(
        "pretrain",
        PRETRAIN,
        [*SHARDS, "--lert.rate", "0.3", "--lert.layers", "pos", "--lert.ramps", '{"pos": 0}'],
    )
    wanted = {**default.options, "rate": 0.3, "layers": ("pos",), "ramps": {"pos": 0.0}}
    assert by_flags.options == wanted
    file.write_text('[lert]\nrate = 0.3\nlayers = ["pos"]\nramps = {pos = 0}\n')
    by_file = parse("pretrain", PRETRAIN, [*SHARDS, "--config", str(file)])
    assert by_file == by_flags
    both = parse("pretrain", PRETRAIN, [*SHARDS, "--config", str(file), "--lert.rate=0.4"])
    assert both.options == {**wanted, "rate": 0.4}


def test_only_the_chosen_plug_in_has_options(file: Path) -> None:
    def refused(*argv: str) -> str:
        return refusal(*SHARDS, *argv, command="pretrain", module=PRETRAIN)

    assert "unknown argument --mlm.rate" in refused("--mlm.rate", "0.3")
    assert "unknown argument --mlm.rate; it is an option of --objective mlm, which" in refused(
        "--mlm.rate", "0.3"
    )
    assert "unknown argument --lert.x" in refused("--lert.x", "0.3")
    assert "--mlm.rat=1; did you mean '--mlm.rate'?" in refused("--objective=mlm", "--mlm.rat=1")
    assert "no 'lrt'; did you mean 'lert'?" in refused("--objective", "lrt")
    for text, message in {
        "[mlm]\nrate = 0.3": "unknown key 'mlm'",
        "[lert]\nrat = 0.3": "unknown key 'lert.rat'; did you mean 'rate'?",
        "[lert]\nrate = 'x'": "lert.rate: got 'x'; expected a number",
        "lert = 3": "'lert' must be a table",
        "objective = 'lrt'": "no 'lrt'; did you mean 'lert'?",
    }.items():
        file.write_text(text)
        assert message in refused("--config", str(file))
    file.write_text("objective = 'mlm'\n[mlm]\nrate = 0.3")
    assert parse("pretrain", PRETRAIN, [*SHARDS, f"--config={file}"]).options["rate"] == 0.3


def test_a_plug_in_from_a_file_has_options_too(tmp_path: Path, file: Path) -> None:
    path = tmp_path / "my-shuffle.py"
    path.write_text(
        "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass Objective:\n"
        '    """Mine.\n\n    Attributes:\n        rate: how much.\n    """\n    rate: float = 0.5\n'
    )
    argv = [*SHARDS, "--objective", str(path)]
    config = parse("pretrain", PRETRAIN, [*argv, "--my-shuffle.rate", "0.25"])
    assert config.options == {"rate": 0.25}
    write(file, resolved(config, PRETRAIN))
    assert read(file)["my_shuffle"] == {"rate": 0.25}
    assert parse("pretrain", PRETRAIN, ["--config", str(file)]) == config
    (tmp_path / "none.py").write_text("")
    message = refusal(
        *SHARDS, "--objective", f"{tmp_path}/none.py", command="pretrain", module=PRETRAIN
    )
    assert "the module has no 'Objective'" in message


# The round trip, over every command there is.

TEXTS = st.sampled_from(ODD_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PATHS = st.text(st.sampled_from("ab.-_/ 字"), min_size=1, max_size=8).map(Path)
SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**62), 2**62),
    float: st.floats(allow_nan=False),
    str: TEXTS,
    Path: PATHS,
}


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    wanted = without_none(annotation)
    if element(wanted) is not None:
        items = st.lists(values_of(element(wanted)), min_size=1, max_size=3)
        return items.map(tuple) if typing.get_origin(wanted) is tuple else items
    if typing.get_origin(wanted) is Literal:
        return st.sampled_from(typing.get_args(wanted))
    origin = typing.get_origin(wanted)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(TEXTS, values_of(typing.get_args(wanted)[1]), max_size=2)
    return SCALARS[wanted]


@st.composite
def configs(draw: st.DrawFn, module: ModuleType) -> Any:
    """A `Config` with any values that its types allow; a plug-in is one of the package's."""
    plugins = getattr(module, "PLUGIN", {})
    values = {}
    for flag in flags_of(module.Config):
        strategy = values_of(flag.type)
        if flag.name in plugins:
            strategy = st.sampled_from(registry.names(plugins[flag.name][0]))
        values[flag.name] = draw(st.none() | strategy if flag.default is None else strategy)
    for field, (package, attribute) in plugins.items():
        name = values[field] or configuration.following(module, field, values)
        if name is None:
            continue
        made = getattr(registry.load(package, name), attribute)
        values["options"] = {flag.name: draw(values_of(flag.type)) for flag in flags_of(made)}
    fields = {
        flag_names.shown(field.name): field.name for field in dataclasses.fields(module.Config)
    }
    return module.Config(**{fields[name]: value for name, value in values.items()})


@pytest.mark.parametrize("command", COMMANDS)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_is_resolved_reads_back_equal(command: str, data: st.DataObject, file: Path) -> None:
    module = registry.load("hanmo.commands", command)
    config = data.draw(configs(module))
    write(file, resolved(config, module))
    again = parse(command, module, ["--config", str(file)])
    assert again == config
    assert configuration.differences(resolved(again, module), resolved(config, module)) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_has_help(command: str) -> None:
    module = registry.load("hanmo.commands", command)
    classes = [module.Config]
    for package, attribute in getattr(module, "PLUGIN", {}).values():
        names = registry.names(package)
        classes += [getattr(registry.load(package, name), attribute) for name in names]
    for made in classes:
        assert [flag.name for flag in flags_of(made) if not flag.help] == []


def test_a_plugin_that_follows_from_another_setting(file: Path) -> None:
    module = registry.load("hanmo.commands", "encode")

    def given(*words: str) -> Any:
        return parse("encode", module, ["s", "--out", "o", "--vocab", "v", *words])

    assert (given().objective, given().options) == (None, {})
    made = given("--format", "lert", "--lert.rate", "0.2")
    assert (made.objective, made.options["rate"], made.options["unit"]) == (None, 0.2, "word")
    assert "layers" not in given("--format=bert").options
    assert given("--format", "lert", "--objective", "mac").options["rate"] == 0.15
    for words in (["--lert.rate", "0.2"], ["--format", "electra", "--electra.rate", "0.2"]):
        with pytest.raises(UserError, match=r"unknown argument --\w+\.rate"):
            given(*words)
    write(file, resolved(made, module))
    assert "[lert]" in file.read_text()
    assert parse("encode", module, ["--config", str(file)]) == made


def test_differences_in_words() -> None:
    old = {"seed": 1, "out": Path("a"), "peak": None}
    assert configuration.differences(old, {"seed": 2, "out": "a"}) == ["seed was 1, now 2"]
    tables = [{"lert": {"rate": rate, "ends": {"pos": 1, "ner": rate}}} for rate in (0.15, 0.3)]
    assert configuration.differences(*tables) == [
        "lert.ends.ner was 0.15, now 0.3",
        "lert.rate was 0.15, now 0.3",
    ]


@given(value=st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]))
def test_conform_never_changes_the_kind_of_a_value(value: Any) -> None:
    for annotation in (bool, int, float, str, Path, float | None):
        try:
            made = conform(value, annotation)
        except TypeError as error:
            assert str(error).startswith("expected ")
            continue
        assert isinstance(made, annotation)
        assert isinstance(value, bool) == isinstance(made, bool)
        assert isinstance(value, str) == isinstance(made, str | Path)


def test_positional_words_may_follow_flags() -> None:
    module = registry.load("hanmo.commands", "predict")
    for words in (
        ["m", "tags", "他去北京。", "--mask-words", "--top-k", "3"],
        ["m", "tags", "--mask-words", "他去北京。", "--top-k", "3"],
        ["--top-k", "3", "--mask-words", "m", "tags", "他去北京。"],
        ["--top-k=3", "m", "--mask-words", "tags", "他去北京。"],
    ):
        config = parse("predict", module, words)
        assert (config.model, config.text, config.top_k) == (Path("m"), ["他去北京。"], 3)
        assert config.options == {"mask_words": True, "annotator": "crf"}


# A plug-in that a positional word names, whose options have no prefix: the kinds of `predict`.

PREDICT = registry.load("hanmo.commands", "predict")
KIND = (
    "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass Predict:\n"
    '    """Mine.\n\n    Attributes:\n        %s: How much.\n    """\n    %s: float = 0.5\n'
)


@pytest.mark.parametrize(
    "words",
    [
        ["m", "KIND", "字", "--my-depth", "2"],
        ["m", "--my-depth=2", "KIND", "字"],
        ["--my-depth", "2", "m", "KIND", "字"],
        ["--batch-tokens", "3", "m", "--table", "--my-depth", "2", "KIND", "字"],
        ["--my-depth", "2", "--", "m", "KIND", "字"],
    ],
)
def test_a_kind_from_a_file_has_options_too(tmp_path: Path, file: Path, words: list[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(KIND % ("my_depth", "my_depth"))
    words = [str(path) if word == "KIND" else word for word in words]
    config = parse("predict", PREDICT, words)
    assert (config.model, config.kind, config.text) == (Path("m"), str(path), ["字"])
    assert config.options == {"my_depth": 2.0}
    write(file, resolved(config, PREDICT))
    assert read(file)["my_depth"] == 2.0
    assert parse("predict", PREDICT, ["--config", str(file)]) == config
    again = parse("predict", PREDICT, ["--config", str(file), "--my-depth", "3"])
    assert again.options == {"my_depth": 3.0}


def test_options_without_a_prefix_are_strict(tmp_path: Path, file: Path) -> None:
    def refused(*argv: str) -> str:
        return refusal(*argv, command="predict", module=PREDICT)

    assert "unknown argument --mask-length" in refused("m", "tags", "字", "--mask-length", "2")
    assert "--beam: Expected a whole number" in refused("m", "fill-mask", "字", "--beam", "x")
    assert "no 'tgs'; did you mean 'tags'?" in refused("m", "tgs", "字")
    assert refused("m") == "predict: KIND missing; see: hanmo predict --help"
    for text, message in {
        'kind = "tags"\nbeam = 3': "unknown key 'beam'",
        'kind = "fill-mask"\nbeam = "3"': "beam: got '3'; expected a whole number",
        "beam = 3": "unknown key 'beam'",
    }.items():
        file.write_text('model = "m"\n' + text)
        assert message in refused("--config", str(file))
    path = tmp_path / "clash.py"
    path.write_text(KIND % ("top_k", "top_k"))
    assert "option 'top_k' is the command's; rename it" in refused("m", str(path), "字")


def test_help_lists_the_options_of_the_kind_that_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words, shown in ((["--help"], False), (["m", "tags", "--help"], True)):
        with pytest.raises(SystemExit):
            parse("predict", PREDICT, words)
        text = capsys.readouterr().out
        assert "--top-k" in text
        assert ("--annotator" in text) == shown


def test_settings_of_a_folder_of_another_kind_are_named(tmp_path: Path) -> None:
    from hanmo.core.artifact import building

    with building(tmp_path / "shards", kind="shards", config={"ner_level": "word"}):
        pass
    for stored in (tmp_path / "shards", tmp_path / "shards" / "manifest.json"):
        with pytest.raises(UserError, match=r"'ner_level'.*a folder of kind 'shards'"):
            parse(
                "annotate", registry.load("hanmo.commands", "annotate"), ["--config", str(stored)]
            )
