"""`hanmo inspect`: what it prints, its JSON, its page, and what it refuses."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hanmo import cli
from hanmo.annotate.tagsets import TAGSETS
from hanmo.commands.inspect import Config, run
from hanmo.core.artifact import building
from hanmo.core.errors import UserError

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks that elements are closed in their order, ids are there once, nothing is fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.classes: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._attributes(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._attributes(attrs)

    def _attributes(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value or "")
            if name == "class":
                self.classes += (value or "").split()
            if name in ("src", "href", "xlink:href", "data"):
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_is_whole_and_needs_nothing(folders: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "new" / "look.html"
    made = run(Config(folders["shards"], html=path, objective="lert", max_length=24, first=9))
    assert f"Written: {path}" in made["text"]
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>\n")
    assert page.open == []
    assert len(page.ids) == len(set(page.ids)) > 0
    assert {link[:1] for link in page.links} == {"#"}
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert page.tags.count("svg") == len(TAGSETS) + 3
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert {"masked", "row0", "never"} <= set(page.classes)
    assert "url(http" not in text
    assert "@import" not in text
    assert "play##ing" in text


def test_a_page_is_the_same_twice_and_replaces_only_pages(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "look.html"
    config = Config(folders["sentences"], html=path, vocab=folders["vocab"])
    run(config)
    first = path.read_bytes()
    run(config)
    assert path.read_bytes() == first
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="exists and is no page of hanmo inspect"):
        run(config)
    assert path.read_text(encoding="utf-8") == "mine"


def test_shards_as_json(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["inspect", str(folders["shards"]), "--json", "--max-length", "16", "--epoch", "2"]
    assert cli.main([*words, "--mlm.rate", "0.3", "--document", "3", "1"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["kind"] == "shards"
    assert [one["document"] for one in made["documents"]] == ["1", "3"]
    masked = made["masked"]
    assert (masked["objective"], masked["options"]["rate"]) == ("mlm", 0.3)
    assert {one["epoch"] for one in masked["examples"]} == {2}
    for one in masked["examples"]:
        assert one["chosen"]
        assert all(place["state"] in ("masked", "replaced", "kept") for place in one["chosen"])
    labels = made["statistics"]["labels"]
    assert {layer: list(found) for layer, found in labels.items()} == {
        layer: list(names) for layer, names in TAGSETS.items()
    }
    assert "I-Nh" in made["statistics"]["labels_never_seen"]["ner"]
    assert made["stage_counts"]["unaligned_words"] == 0


def test_what_is_printed(folders: dict[str, Path]) -> None:
    shards = run(Config(folders["shards"], max_length=24, sequence=1, partner="sop", epoch=1))
    assert "\x1b" not in shards["text"]
    for expected in (
        "document 0  2 sentences",
        "他  去  了  上海 。",
        "sequence 1 as mlm makes it  seed 1, epoch 1",
        "never seen",
        "unaligned_words",
        "of everything (blocks of documents: ",
    ):
        assert expected in shards["text"]
    assert any(f"sop: {said}" in shards["text"] for said in ("swapped", "in their order", "not"))
    text = run(Config(folders["sentences"], vocab=folders["vocab"], find="playing"))["text"]
    assert "U+56E7" in text
    assert "of the sentences shown alone" in text


def test_only_what_is_asked_for(folders: dict[str, Path]) -> None:
    made = run(Config(folders["shards"], show=("documents",)))
    assert set(made["json"]) == {"folder", "kind", "documents", "stage_counts"}
    assert "statistics" not in made["text"]
    made = run(Config(folders["sentences"]))
    assert set(made["json"]) == {"folder", "kind", "documents", "statistics", "stage_counts"}


@pytest.mark.parametrize(
    ("folder", "settings", "message"),
    [
        ("shards", {"show": ("mask",)}, "--show: no 'mask'; did you mean 'masked'"),
        ("shards", {"first": 0}, "--first: got 0; expected 1 or more"),
        ("shards", {"dupe_factor": 0}, "--dupe-factor: got 0"),
        ("shards", {"epoch": -1}, "--epoch: got -1"),
        ("shards", {"seed": -1}, "--seed: got -1"),
        ("shards", {"partner": "nps"}, "--partner: no 'nps'; did you mean 'nsp'"),
        ("shards", {"vocab": Path("v")}, "are shards, which have theirs"),
        ("shards", {"find": "a", "document": ("1",)}, "leave --document out"),
        ("shards", {"max_length": 3}, "max_length: got 3"),
        ("sentences", {"sequence": 1}, "are no shards; encode them first"),
        ("sentences", {"show": ("masked",)}, "pass --vocab too"),
        ("vocab", {}, "is a file; expected a folder"),
    ],
)
def test_what_is_refused(
    folders: dict[str, Path], folder: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(Config(folders[folder], **settings))  # type: ignore[arg-type]


def test_other_folders_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    with building(tmp_path / "corpus", kind="corpus", config={}):
        pass
    with pytest.raises(UserError, match="is a corpus; annotate and encode it"):
        run(Config(tmp_path / "corpus", show=("masked",)))
    with building(tmp_path / "run", kind="run", config={}):
        pass
    with pytest.raises(UserError, match="a folder of kind 'run'"):
        run(Config(tmp_path / "run"))
    with pytest.raises(UserError, match="is a folder; expected a file"):
        run(Config(folders["shards"], html=tmp_path))


def test_an_objective_without_its_labels(folders: dict[str, Path], tmp_path: Path) -> None:
    from inspection_cases import FIRST, sentence, write_sentences

    from hanmo.annotate.sentence import Sentence

    one = sentence(FIRST)
    bare = Sentence(one.text, one.words, {"pos": one.layers["pos"]})
    folder = write_sentences(tmp_path / "bare", [[("a", bare)]])
    with pytest.raises(UserError, match="lacks the layers ner, dep that objective 'lert' needs"):
        run(Config(folder, vocab=folders["vocab"], objective="lert"))
