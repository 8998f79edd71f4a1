"""From names and ids to folders: the cache of Hugging Face, its absence, mistakes."""

import json
from pathlib import Path
from typing import Any

import pytest

import hanmo
from hanmo.core.errors import UserError
from hanmo.loading import places
from hanmo.loading.places import place_of
from loading_cases import VOCAB, same, without, written

transformers = pytest.importorskip("transformers")
hub = pytest.importorskip("huggingface_hub")
COMMIT = "0" * 40


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    return folder


def snapshot(cache: Path, name: str) -> Path:
    """Make the folder of an id in the cache, as huggingface_hub lays it out."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("source", ["lert-base", "hfl/chinese-lert-base", "Chinese-LERT-base"])
def test_a_model_in_the_cache(source: str, cache: Path) -> None:
    folder = snapshot(cache, "hfl/chinese-lert-base")
    original = written(folder, "BertForMaskedLM")
    place = place_of(source)
    assert place.folder.resolve() == folder.resolve()
    assert place.model is not None
    assert place.model.name == "lert-base"
    tokenizer, model = hanmo.load(source)
    assert same(model, original)
    assert len(tokenizer) == len(VOCAB)
    assert hanmo.load(source, library="hanmo")[1].encoder.config.hidden_size == 16


def test_an_id_that_the_zoo_does_not_know(cache: Path) -> None:
    original = written(snapshot(cache, "somebody/their-roberta"), "BertModel")
    assert same(hanmo.load("somebody/their-roberta")[1], original)


@pytest.mark.parametrize("source", ["lert-base", "somebody/their-bert"])
def test_what_is_not_there(source: str, cache: Path) -> None:
    name = "hfl/chinese-lert-base" if source == "lert-base" else source
    with pytest.raises(UserError) as caught:
        hanmo.load(source)
    text = str(caught.value)
    for part in (
        f"{name}: not whole in the cache ({cache})",
        "config.json, vocab.txt and model.safetensors (or pytorch_model.bin)",
        f"https://huggingface.co/{name}",
        "give its path",
    ):
        assert part in text


@pytest.mark.parametrize("lost", ["vocab.txt", "model.safetensors", "config.json"])
def test_half_a_model_in_the_cache_is_none(lost: str, cache: Path) -> None:
    folder = snapshot(cache, "hfl/rbt3")
    written(folder, "BertModel")
    (folder / lost).unlink()
    with pytest.raises(UserError, match=rf"hfl/rbt3: not whole in the cache .*no [a-z. ]*{lost}"):
        hanmo.load("rbt3")


def test_a_random_head_is_spoken_of(cache: Path) -> None:
    folder = snapshot(cache, "hfl/chinese-roberta-wwm-ext")
    written(folder, "BertForMaskedLM")
    with pytest.warns(UserWarning, match="its authors say that its masked-lm head is random"):
        hanmo.load("roberta-wwm-ext", head="masked-lm")
    hanmo.load("roberta-wwm-ext", head="encoder")
    without(folder, "cls.")
    assert type(hanmo.load("roberta-wwm-ext")[1]).__name__ == "BertModel"


class FakeHub:
    """Answers like huggingface_hub with a network, from a folder."""

    errors = hub.errors
    constants = hub.constants

    def __init__(self, folder: Path, files: tuple[str, ...]) -> None:
        self.folder, self.files, self.asked = folder, files, []  # type: ignore[var-annotated]

    def snapshot_download(self, name: str, *, allow_patterns: Any, **options: Any) -> str:
        if options.get("local_files_only"):
            raise hub.errors.LocalEntryNotFoundError("no")
        if name == "hfl/none":
            response = type("Response", (), {"headers": {}, "request": None, "status_code": 404})()
            raise hub.errors.RepositoryNotFoundError("404", response=response)
        self.asked.append(list(allow_patterns))
        for file in set(allow_patterns) & set(self.files):
            (self.folder / file).write_text(json.dumps({"hidden_size": 8}))
        return str(self.folder)


def faked(monkeypatch: pytest.MonkeyPatch, folder: Path, *files: str) -> FakeHub:
    made = FakeHub(folder, files)
    monkeypatch.setattr(places, "_library", lambda: made)
    return made


def test_a_download_takes_one_file_of_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = faked(monkeypatch, tmp_path, "config.json", "vocab.txt", "model.safetensors")
    assert place_of("lert-base").folder == tmp_path
    assert len(fake.asked) == 1
    assert "pytorch_model.bin" not in fake.asked[0]


def test_a_download_of_an_old_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = faked(monkeypatch, tmp_path, "config.json", "vocab.txt", "pytorch_model.bin")
    assert place_of("hfl/rbt3").folder == tmp_path
    assert fake.asked[1:] == [["pytorch_model.bin"]]


def test_a_release_without_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch, tmp_path, "config.json")
    with pytest.raises(UserError, match=r"no vocab.txt or tokenizer.json and no model.safetensors"):
        place_of("hfl/rbt3")
    with pytest.raises(UserError, match="hfl/none: no such model at Hugging Face"):
        place_of("hfl/none")


def test_a_folder_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    original = written(tmp_path / "rbt3", "BertModel")
    place = place_of("rbt3")
    assert (place.folder, place.from_hub) == (Path("rbt3"), False)
    assert same(hanmo.load("rbt3")[1], original)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "lert-bas",
            r"no published model 'lert-bas'; did you mean 'lert-base'.*id such as hfl/rbt3",
        ),
        ("./nowhere", r"./nowhere: no such folder"),
        ("a/b/c", r"a/b/c: no such folder"),
        (Path("a/b"), r"a/b: no such folder"),
        (
            "albert-zh-tiny",
            r"no release at Hugging Face is known; hanmo models show albert-zh-tiny",
        ),
    ],
)
def test_sources_with_a_mistake(
    source: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        place_of(source)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("")
    with pytest.raises(UserError, match=f"a file; expected the model's folder: {tmp_path}"):
        place_of(path)


def test_convert_takes_names_and_ids(cache: Path, tmp_path: Path) -> None:
    from hanmo.commands import convert

    written(snapshot(cache, "hfl/chinese-lert-base"), "BertForMaskedLM")
    for number, source in enumerate(("lert-base", "hfl/chinese-lert-base")):
        out = tmp_path / f"out{number}"
        report = convert.run(convert.Config(source, out, to="tf1"))["json"]
        assert report["class"] == "BertForMaskedLM"
        assert (out / "bert_model.ckpt.index").is_file()
    with pytest.raises(UserError, match="not whole in the cache"):
        convert.run(convert.Config("hfl/chinese-lert-large", tmp_path / "no", to="tf1"))
    with pytest.raises(UserError, match=r"no such folder|did you mean"):
        convert.run(convert.Config("chinese-lrt-base", tmp_path / "no", to="tf1"))
