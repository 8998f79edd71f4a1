"""Silver mode: a teacher annotates a sample, the student learns from it and is compared."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanmo.annotate._crf_model import TASKS, tagger_path
from hanmo.annotate.annotators.crf import Annotator
from hanmo.annotate.silver import PART_CHARS, is_in, split, without, write_sample
from hanmo.annotate.store import read_part
from hanmo.commands import annotate
from hanmo.commands.train_annotator import Config, run
from hanmo.core.artifact import building, read_manifest, verify
from hanmo.core.errors import UserError
from hanmo.core.files import json_lines, open_text

SUBJECTS = ("我们", "老师", "张三", "学生", "北京的朋友", "他的妹妹")
VERBS = ("喜欢", "参观", "离开", "介绍", "看见")
OBJECTS = ("北京", "学校", "上海的公园", "这本书", "大学")
TEACHER = '''"""Words by a dictionary, entities, no parts of speech."""
import re
from dataclasses import dataclass
from pathlib import Path
from hanmo.annotate.sentence import Sentence

WORDS = re.compile("北京|上海|张三|我们|老师|学生|喜欢|参观|学校|公园|大学|朋友|.")

@dataclass(frozen=True)
class Annotator:
    calls: str = ""
    ner: bool = True
    broken: bool = False

    @property
    def layers(self):
        return ("ner",) if self.ner else ()

    def annotate(self, texts):
        if self.calls:
            with Path(self.calls).open("a") as log:
                log.write(f"{len(texts)}\\n")
        return [self._sentence(text) for text in texts]

    def _sentence(self, text):
        words = tuple(match.span() for match in WORDS.finditer(text))
        forms = [text[a:b] for a, b in words]
        kinds = {"北京": "S-Ns", "上海": "S-Ns", "张三": "I-Nh" if self.broken else "S-Nh"}
        ner = tuple(kinds.get(form, "O") for form in forms)
        return Sentence(text, words, {"ner": ner} if self.ner else {})
'''


def text_of(number: int) -> str:
    clauses = [
        SUBJECTS[(number + i) % 6] + VERBS[(number * 3 + i) % 5] + OBJECTS[(number * 7 + i * i) % 5]
        for i in range(4)
    ]
    return f"第{number}天，" + "，".join(clauses) + "。大家都很高兴。"


def write_corpus(folder: Path, n_documents: int = 60, n_parts: int = 2) -> Path:
    with building(folder, kind="corpus", config={}) as build:
        for part in range(n_parts):
            with open_text(build.dir / f"part-{part:05d}.jsonl.zst", "w") as stream:
                for i in range(part, n_documents, n_parts):
                    record = {"id": f"d{i}", "text": text_of(i), "source": "test"}
                    stream.write(json.dumps(record, ensure_ascii=False) + "\n")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


@pytest.fixture
def config(corpus: Path, tmp_path: Path) -> Config:
    return Config(
        out=tmp_path / "student",
        teacher="jieba",
        corpus=[corpus],
        sample_chars=0,
        held_out=0.25,
        iterations=20,
        folds=3,
    )


def ids(folder: Path) -> list[str]:
    names = sorted(read_manifest(folder, "corpus").files)
    return [record["id"] for name in names for _, record in json_lines(folder / name)]


@given(st.lists(st.text(max_size=8), unique=True, max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_a_smaller_share_is_part_of_a_larger(names: list[str], a: float, b: float) -> None:
    small, large = sorted((a, b))
    assert {n for n in names if is_in(n, "sample", small)} <= {
        n for n in names if is_in(n, "sample", large)
    }
    assert all(is_in(n, "sample", 1) for n in names)
    assert not any(is_in(n, "sample", 0) for n in names)


def test_a_share_is_about_that_share() -> None:
    taken = [is_in(str(number), "sample", 0.3) for number in range(4000)]
    both = [taken[number] and is_in(str(number), "held out", 0.3) for number in range(4000)]
    assert 0.27 < sum(taken) / 4000 < 0.33
    assert 0.07 < sum(both) / 4000 < 0.11  # chosen independently


def test_the_sample_does_not_depend_on_the_parts(tmp_path: Path) -> None:
    one = write_corpus(tmp_path / "one", 400, n_parts=1)
    five = write_corpus(tmp_path / "five", 400, n_parts=5)
    sizes = {}
    for folder in (one, five):
        out = tmp_path / f"sample of {folder.name}"
        counts = write_sample([folder], out, chars=5000)
        verify(out)
        assert counts == write_sample([folder], out, chars=5000)  # finished: nothing is done
        sizes[folder.name] = (sorted(ids(out)), counts["characters"])
    assert sizes["one"] == sizes["five"]
    longest = max(len(text_of(number)) for number in range(400))
    assert 5000 <= sizes["one"][1] < 5000 + longest
    counts = write_sample([one, five], tmp_path / "all", chars=0)
    assert counts["kept"] == 800
    assert counts["parts"] == -(-int(counts["characters"]) // (PART_CHARS + 80))
    assert write_sample([one], tmp_path / "least", chars=1)["kept"] == 1


def test_a_larger_sample_holds_the_smaller_in_the_order_of_the_corpus(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", 200, n_parts=3)
    drawn = []
    for chars in (300, 2000, 9000):
        write_sample([corpus], tmp_path / f"{chars}", chars=chars)
        drawn.append(ids(tmp_path / f"{chars}"))
    everything = ids(corpus)
    for smaller, larger in pairwise([*drawn, everything]):
        assert set(smaller) < set(larger)
        assert smaller == [name for name in everything if name in smaller]


def test_documents_and_texts_are_on_one_side_only(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "sentences"
    annotate.run(annotate.Config([corpus], out, annotator="jieba"))
    parts = split(out, held_out=0.25)
    held_out = {s.text for s in parts.held_out}
    assert held_out
    assert not held_out & {s.text for s in parts.training}
    # "大家都很高兴。" ends every document.
    assert parts.counts["repeated_sentences"] == parts.counts["held_out_documents"]
    assert parts.counts["documents"] == 60
    rows = [row for name in read_manifest(out).files for row in read_part(out / name)]
    expected = {sentence.text for name, sentence in rows if is_in(name, "held out", 0.25)}
    assert held_out == expected - {"大家都很高兴。"}
    assert {s.text for s in without(parts.training + parts.held_out, parts.held_out)} == {
        s.text for s in parts.training
    }
    with pytest.raises(UserError, match="60 documents to learn from, 0 held out"):
        split(out, held_out=1e-9)


def test_a_student_has_the_layers_of_its_teacher(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = run(config)
    verify(config.out)
    assert sorted(read_manifest(config.out).files) == [
        "cws.crfsuite", "model.json", "pos.crfsuite", "report.json",
    ]  # fmt: skip
    assert counts["agreement_words_f1"] > 90
    assert counts["agreement_pos_accuracy"] > 90
    assert "agreement_dep_accuracy" not in counts
    assert counts["words_pos"] == counts["words"]
    result = json.loads((config.out / "report.json").read_text(encoding="utf-8"))["agreement"]
    assert result["teacher"] == "jieba"
    assert result["sentences"] == counts["held_out_sentences"]
    assert result["words"]["f1"] == counts["agreement_words_f1"]
    shown = capsys.readouterr().err
    assert "no labels by jieba for ner, dep: left out of the model" in shown
    assert "agreement with jieba on" in shown
    # The student is used like any model.
    assert Annotator(model=config.out).layers == ("pos",)
    out = tmp_path / "fast"
    made = annotate.Config(config.corpus, out, options={"model": config.out})
    assert annotate.run(made)["labels_pos"] == annotate.run(made)["words"]
    assert set(next(iter(read_part(out / "part-00000.parquet")))[1].layers) == {"pos"}
    with pytest.raises(UserError, match="a model without layer 'dep'; it has: pos"):
        Annotator(model=config.out, layers=("dep",))
    assert run(config) == counts  # finished


def test_the_same_bytes_wherever_it_lies(config: Config, tmp_path: Path) -> None:
    other = replace(
        config,
        out=tmp_path / "elsewhere" / "model",
        corpus=[write_corpus(tmp_path / "again")],
        workers=2,
    )
    other.out.parent.mkdir()
    run(config)
    run(other)
    assert read_manifest(config.out).files == read_manifest(other.out).files
    assert str(tmp_path) not in (config.out / "manifest.json").read_text(encoding="utf-8")


def test_a_teacher_of_words_and_entities_and_one_of_words(config: Config, tmp_path: Path) -> None:
    teacher = tmp_path / "names.py"
    teacher.write_text(TEACHER, encoding="utf-8")
    counts = run(replace(config, teacher=str(teacher), options={"broken": True}))
    assert counts["agreement_ner_f1"] > 90
    assert counts["repaired_entities"] > 0
    student = Annotator(model=config.out)
    assert student.layers == ("ner",)
    new = [text_of(number) for number in range(60, 70)]
    for sentence in student.annotate(new):
        sentence.validate()
        named = dict(zip(sentence.forms, sentence.layers["ner"], strict=True))
        assert named.get("张三", "S-Nh") == "S-Nh"
        assert named.get("上海", "S-Ns") == "S-Ns"
    words = replace(config, out=tmp_path / "words", teacher=str(teacher), options={"ner": False})
    assert "agreement_words_f1" in run(words)
    assert Annotator(model=words.out).layers == ()
    for sentence in Annotator(model=words.out).annotate(new):
        assert not sentence.layers
        assert {"喜欢", "参观"} & set(sentence.forms)
    with pytest.raises(UserError, match="--merge joins words by their parts of speech"):
        run(replace(words, merge=True, overwrite=True))


def test_a_teacher_of_all_layers_and_other_data_beside(config: Config, tmp_path: Path) -> None:
    more = tmp_path / "more"
    annotate.run(annotate.Config(config.corpus, more, annotator="jieba"))
    both = replace(config, teacher="crf", sentences=[more], merge=True)
    counts = run(both)
    assert all(tagger_path(config.out, task).is_file() for task in TASKS)
    for name in ("words_f1", "pos_accuracy", "dep_accuracy", "ner_f1"):
        assert 0 < counts[f"agreement_{name}"] <= 100
    # jieba's sentences are there too, but those that are held out.
    alone = run(replace(config, out=tmp_path / "alone", teacher="crf"))
    assert counts["sentences"] > alone["sentences"] * 1.9
    assert counts["held_out_sentences"] == alone["held_out_sentences"]


def test_layers_can_be_chosen_without_a_teacher(corpus: Path, tmp_path: Path) -> None:
    sentences, out = tmp_path / "sentences", tmp_path / "model"
    annotate.run(annotate.Config([corpus], sentences, annotator="jieba"))
    made = Config(out, sentences=[sentences], iterations=10, folds=3)
    with pytest.raises(UserError, match="0 sentences with layer 'dep'"):
        run(made)
    run(replace(made, layers=["pos"]))
    assert Annotator(model=out).layers == ("pos",)


def test_the_teacher_is_not_asked_twice(config: Config, tmp_path: Path) -> None:
    teacher, log = tmp_path / "slow.py", tmp_path / "calls"
    teacher.write_text(TEACHER, encoding="utf-8")
    first = replace(config, teacher=str(teacher), options={"calls": str(log)})
    run(first)
    asked = log.read_text()
    counts = run(replace(first, l2=0.05, overwrite=True))  # only the student is made anew
    assert log.read_text() == asked
    assert run(replace(first, l2=0.05)) == counts
    with pytest.raises(UserError, match=r"what a teacher found is not replaced: give another"):
        run(replace(first, options={"calls": ""}))


def test_a_killed_teacher_goes_on(config: Config, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("hanmo.annotate.silver.PART_CHARS", 400)
    teacher, log = tmp_path / "slow.py", tmp_path / "calls"
    stop = """if LIMIT and len(Path(self.calls).read_text().split()) > 3:
            raise KeyboardInterrupt
        return [self"""
    dies = TEACHER.replace("return [self", stop, 1) + "\nLIMIT = True\n"
    teacher.write_text(dies, encoding="utf-8")
    first = replace(config, teacher=str(teacher), options={"calls": str(log)})
    with pytest.raises(KeyboardInterrupt):
        run(first)
    n_parts = read_manifest(tmp_path / "student-teacher" / "sample").counts["parts"]
    assert n_parts > 5
    from hanmo.core import registry

    registry.load("hanmo.annotate.annotators", str(teacher)).LIMIT = False
    run(first)
    assert len(log.read_text().split()) == n_parts + 1  # only the part that it died in, again
    undisturbed = replace(first, out=tmp_path / "undisturbed")
    run(undisturbed)
    assert read_manifest(first.out).files == read_manifest(undisturbed.out).files


def test_mistakes_are_explained(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--teacher NAME and --corpus FOLDER go together"):
        run(replace(config, corpus=[]))
    with pytest.raises(UserError, match="go together"):
        run(replace(config, teacher=None))
    with pytest.raises(UserError, match=r"--held-out: got 1\.0"):
        run(replace(config, held_out=1.0))
    with pytest.raises(UserError, match="--sample-chars: got -1"):
        run(replace(config, sample_chars=-1))
    with pytest.raises(UserError, match="no layer 'po'; did you mean 'pos'"):
        run(replace(config, layers=["po"]))
    with pytest.raises(UserError, match=r"reads files that are annotated already.*--sentences"):
        run(replace(config, teacher="conllu"))
    with pytest.raises(UserError, match="no 'jeiba'; did you mean 'jieba'"):
        run(replace(config, teacher="jeiba"))
    with pytest.raises(UserError, match="no option 'poss'; did you mean 'pos'"):
        run(replace(config, options={"poss": True}))
    with pytest.raises(UserError, match="no such folder"):
        run(replace(config, corpus=[tmp_path / "absent"]))
    assert not config.out.exists()
