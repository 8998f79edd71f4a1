"""`hanmo annotate`: from a corpus folder or annotated files to a sentences folder."""

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hanmo.annotate.store import read_part
from hanmo.commands import _sampling
from hanmo.commands.annotate import ANNOTATORS, Config, run
from hanmo.core import registry
from hanmo.core.artifact import building, read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.files import open_text

DOCUMENTS = [
    [("a", "我们去了北京。\n他是学生\u200b！😀"), ("b", "\u200b"), ("c", "第三篇。" * 700)],
    [("d", "NBA 有12支球队。")],
    [("e", "水" * 1200)],
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    with building(folder, kind="corpus", config={}) as build:
        for number, documents in enumerate(DOCUMENTS):
            with open_text(build.dir / f"part-{number:05d}.jsonl.zst", "w") as stream:
                for name, text in documents:
                    record = {"id": name, "text": text, "source": "test"}
                    stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return folder


@pytest.mark.parametrize("workers", [1, 9])
def test_a_sample_writes_nothing_and_says_how_long_all_takes(
    corpus: Path, tmp_path: Path, workers: int
) -> None:
    before = sorted(tmp_path.rglob("*"))
    made = run(Config([corpus], None, annotator="jieba", sample=3, workers=workers))
    assert sorted(tmp_path.rglob("*")) == before
    found = made["json"]
    texts = {document["text"] for document in found["sentences"]}
    whole = run(Config([corpus], tmp_path / "out", annotator="jieba"))
    rows = [row for part in sorted((tmp_path / "out").glob("*.parquet")) for row in read_part(part)]
    assert len(found["sentences"]) == 3
    assert texts <= {sentence.text for _, sentence in rows}
    assert found["workers"] == min(workers, 3, os.cpu_count() or 1)
    assert found["estimated_seconds"] >= found["start_seconds"]
    assert whole["sentences"] == len(rows)
    for document in found["sentences"]:
        first = document["words"][0]
        assert f"      {first['text']}" in made["text"]


@pytest.mark.parametrize("annotator", ["jieba", "crf"])
def test_a_sample_is_measured_on_the_way_of_a_run(
    tmp_path: Path, annotator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(f"水{number}。" for number in range(6_000))
    with building(tmp_path / "corpus", kind="corpus", config={}) as build:
        for number in range(4):
            record = {"id": f"a{number}", "text": text[number:], "source": "test"}
            line = json.dumps(record, ensure_ascii=False) + "\n"
            (build.dir / f"part-{number:05d}.jsonl").write_text(line, encoding="utf-8")
    batches: list[int] = []
    name = "columns" if annotator == "jieba" else "annotate"
    made = registry.member(ANNOTATORS, annotator, "Annotator")
    real = getattr(made, name)

    def noted(self: Any, texts: list[str]) -> Any:
        batches.append(len(texts))
        return real(self, texts)

    def run_noted(**more: Any) -> list[int]:
        batches.clear()
        run(Config([tmp_path / "corpus"], annotator=annotator, **more))
        return batches

    monkeypatch.setattr(made, name, noted)
    monkeypatch.setattr(_sampling, "_SECONDS", 1e9)  # on a slow machine, too
    largest = max(run_noted(out=tmp_path / "out"))
    assert largest > 200
    assert max(run_noted(out=None, sample=3)) == largest


@pytest.mark.parametrize(("executor", "expected"), [("local", 2), ("slurm", 3)])
def test_processes_of_other_machines_are_not_bounded_by_this_one(
    corpus: Path, executor: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    config = Config([corpus], None, annotator="jieba", sample=1, workers=9, executor=executor)
    options = ["partition=cpu"] if executor == "slurm" else []
    config = replace(config, executor_options=options)
    assert run(config)["json"]["workers"] == expected


def test_what_a_sample_refuses(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--sample: got 0, expected 1 or more"):
        run(Config([corpus], None, annotator="jieba", sample=0))
    with pytest.raises(UserError, match="--out missing"):
        run(Config([corpus], None, annotator="jieba"))
    path = tmp_path / "a.conllu"
    path.write_text("1\t我\t_\tPRON\tPRP\t_\t0\troot\t_\t_\n\n", encoding="utf-8")
    with pytest.raises(UserError, match="is a file that is annotated already"):
        run(Config([path], None, annotator="conllu", sample=2))
    with building(tmp_path / "empty", kind="corpus", config={}) as build:
        (build.dir / "part-00000.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="not one sentence"):
        run(Config([tmp_path / "empty"], None, annotator="jieba", sample=2))


def digests(folder: Path) -> dict[str, str]:
    return {name: facts["sha256"] for name, facts in read_manifest(folder).files.items()}


def test_the_sentences_of_a_corpus(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "sentences"
    counts = run(Config([corpus], out, annotator="jieba"))
    verify(out)
    assert read_manifest(out, "sentences").counts == counts
    parts = sorted(out.glob("part-*.parquet"))
    rows = [row for part in parts for row in read_part(part)]
    assert len(parts) == 3
    names = [name for name, _ in rows]
    assert list(dict.fromkeys(names)) == ["a", "c", "d", "e"]
    assert [row.text for name, row in rows if name == "a"] == ["我们去了北京。", "他是学生！", "😀"]
    assert max(len(row.text) for _, row in rows) == 500  # the limit
    for _, row in rows:
        row.validate()
        assert set(row.layers) == {"pos"}
    assert counts == {
        "documents": 4,
        "dropped_documents": 1,
        "dropped_characters": 2,
        "sentences": len(rows),
        "words": sum(len(row.words) for _, row in rows),
        "characters": sum(len(row.text) for _, row in rows),
        "labels_pos": sum(len(row.words) for _, row in rows),
    }


def test_bytes_do_not_depend_on_workers(corpus: Path, tmp_path: Path) -> None:
    one = Config([corpus], tmp_path / "one", annotator="jieba", options={"pos": False})
    two = Config([corpus], tmp_path / "two", annotator="jieba", options={"pos": False}, workers=2)
    assert run(one) == run(two)
    assert digests(one.out) == digests(two.out)


def test_a_finished_folder_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    config = Config([corpus], tmp_path / "out", annotator="jieba")
    counts = run(config)
    before = (config.out / "manifest.json").stat().st_mtime_ns
    assert run(config) == counts
    assert (config.out / "manifest.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="other settings"):
        run(Config([corpus], config.out, annotator="jieba", max_chars=100))


def test_defaults_left_out_are_defaults_given(corpus: Path, tmp_path: Path) -> None:
    config = Config([corpus], tmp_path / "out", annotator="jieba")
    run(config)
    made = (tmp_path / "out" / "manifest.json").stat().st_mtime_ns
    given = {"pos": True, "engine": "auto", "hmm": True}
    run(replace(config, options=given))
    assert (tmp_path / "out" / "manifest.json").stat().st_mtime_ns == made
    with pytest.raises(UserError, match="already finished with other settings"):
        run(replace(config, options={"hmm": False}))


def test_the_engine_that_was_taken_is_kept(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rjieba")
    config = Config([corpus], tmp_path / "out", annotator="jieba")
    run(config)
    assert read_manifest(tmp_path / "out").config["options"]["engine"] == "rjieba"
    real = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "rjieba" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(UserError, match=r"options\.engine was 'rjieba', now 'jieba'"):
        run(config)


def test_annotated_files(tmp_path: Path) -> None:
    path = tmp_path / "sample.conllu"
    path.write_text("1\t去\t_\t_\tv\t_\t0\tHED\t_\t_\n\n", encoding="utf-8")
    out = tmp_path / "sentences"
    counts = run(Config([path, path], out, annotator="conllu", options={"tagset": "ltp"}))
    assert (counts["documents"], counts["labels_dep"]) == (2, 2)
    [(name, sentence)] = read_part(out / "part-00001.parquet")
    assert (name, sentence.text, sentence.layers["dep"]) == ("sample", "去", ("HED",))


def test_an_annotator_of_ones_own(corpus: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "characters.py"
    plugin.write_text(
        '''"""A word per character."""
from dataclasses import dataclass
from hanmo.annotate.sentence import Sentence

@dataclass(frozen=True)
class Annotator:
    label: str = "n"
    layers = ("pos",)

    def annotate(self, texts):
        spans = [tuple((i, i + 1) for i, c in enumerate(t) if not c.isspace()) for t in texts]
        return [
            Sentence(t, s, {"pos": (self.label,) * len(s)}) for t, s in zip(texts, spans)
        ]
''',
        encoding="utf-8",
    )
    config = Config([corpus], tmp_path / "out", annotator=str(plugin), workers=2)
    counts = run(config)
    assert counts["labels_pos"] == counts["words"]
    bad = Config([corpus], tmp_path / "bad", annotator=str(plugin), options={"label": "noun"})
    with pytest.raises(UserError, match=r"document 'a': unknown pos label 'noun'"):
        run(bad)


def test_mistakes_are_explained(corpus: Path, tmp_path: Path) -> None:
    out, text = tmp_path / "out", tmp_path / "raw.txt"
    text.write_text("我。\n", encoding="utf-8")
    with pytest.raises(UserError, match="expected a corpus folder; make one with: hanmo prepare"):
        run(Config([text], out, annotator="jieba"))
    with pytest.raises(UserError, match="no such file or folder"):
        run(Config([tmp_path / "absent"], out, annotator="jieba"))
    with pytest.raises(UserError, match="no option 'poss'; did you mean 'pos'"):
        run(Config([corpus], out, annotator="jieba", options={"poss": True}))
    with pytest.raises(UserError, match="no 'jeiba'; did you mean 'jieba'"):
        run(Config([corpus], out, annotator="jeiba"))
    with pytest.raises(UserError, match="--max-chars: got 0"):
        run(Config([corpus], out, annotator="jieba", max_chars=0))
    with pytest.raises(UserError, match="nothing to annotate"):
        run(Config([], out, annotator="jieba"))
    assert not out.exists()
