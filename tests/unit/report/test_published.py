"""Published figures: what is kept of the files, equal figures once, sizes of the models."""

import csv
from importlib import resources

import pytest

from hanmo.model import zoo
from hanmo.report import published
from hanmo.report.published import Figure, models, published_size, results, rows, tasks
from hanmo.report.sizes import named_size, size_of

# Model names by class; a "|" stands between two.
NAMES = {
    "small": (
        "RBT3|ELECTRA-small|ELECTRA-small (180G)|ELECTRA-180g-small|ELECTRA-small-ex|"
        "ELECTRA-180g-small-ex|LERT-small|legal-ELECTRA-small|MiniRBT-H256|MiniRBT-H288|RBT4-H312|"
        "RBT6 (KD)|MiniRBT-H256 (one-stage)|MiniRBT-H256 (two-stage)|Electra-small|T3|T3-small|"
        "T4-tiny|ALBERT-base|ALBERT-large|ALBERT-xlarge|ALBERT-zh-base|ALBERT-zh-small|"
        "ALBERT-zh-base-additional-36k-steps|ALBERT-zh-small(Pytorch)|ALBERT-zh-tiny"
    ),
    "base": (
        "BERT|BERT-base|BERT-base(reproduced)|BERT-Chinese|BERT-multilingual|BERT-wwm|"
        "BERT-wwm-ext|ERNIE|ELECTRA-180g-base|ELECTRA-base|LERT-base|MacBERT-base|PERT-base|RBTL3|"
        "RoBERTa|RoBERTa-base|RoBERTa-wwm-ext|RoBERTa-zh-base|XLNet-base|legal-ELECTRA-base|"
        "roberta-wwm-ext-base|roberta-wwm-ext-base-distill|RoBERTa-wwm-ext (teacher)|"
        "Electra-base (teacher)"
    ),
    "large": (
        "RoBERTa-wwm-ext-large|ELECTRA-large|ELECTRA-180g-large|RoBERTa-large|MacBERT-large|"
        "PERT-large|LERT-large|legal-ELECTRA-large|BERT-large|BERT-large-wwm(reproduced)|"
        "XLNet-large|RoBERTa-zh-Large"
    ),
}


def test_every_published_model_has_its_size() -> None:
    expected = {name: size for size, names in NAMES.items() for name in names.split("|")}
    assert {name: published_size(name) for name in models()} == expected


@pytest.mark.parametrize(
    ("millions", "size"),
    [(3, "small"), (59.9, "small"), (60, "base"), (178, "base"), (200, "large"), (325, "large")],
)
def test_sizes_by_count(millions: float, size: str) -> None:
    assert size_of(millions * 1e6) == size


def test_a_published_count_goes_before_the_name() -> None:
    assert named_size("RBTL3") == published_size("RBTL3") == "base"
    assert named_size("RBT6") == "small"
    assert named_size("no such model") == "base"


def records(name: str) -> list[dict[str, str]]:
    text = resources.files("hanmo.report").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_the_files() -> None:
    main, extra = map(records, published.FILES)
    assert main[0].keys() == extra[0].keys()
    # 699 figures were collected; 69 of them on a split that the source does not name.
    assert (len(main), len(extra)) == (645, 630)
    assert {one["split"] for one in extra} == {"dev", "test", "challenge"}
    sources = {one["source"] for one in extra}
    assert {"MacBERT", "MiniRBT", "TextBrewer", "PERT:figure", "albert_zh"} <= sources
    assert all(one["max"] or one["mean"] for one in [*main, *extra])
    assert all("".join(one.values()).isascii() for one in [*main, *extra])


def test_published_results() -> None:
    # Columns of the table in LERT's README.
    assert {"ChnSentiCorp", "XNLI", "OCNLI", "TNEWS", "LCQMC", "BQ", "CMRC2018"} <= tasks()
    assert results("ChnSentiCorp", metric="f1") == []
    assert results("no such task", metric="accuracy") == []
    for name in tasks():
        for one in rows(name, ("accuracy", "f1", "em")):
            assert one.figures
            for metrics in one.figures.values():
                for figure in metrics.values():
                    known = [x for x in (figure.mean, figure.best) if x is not None]
                    assert known == sorted(known)
                    assert all(0 < number <= 100 for number in known)


def test_an_equal_figure_is_shown_once_at_the_first_source() -> None:
    keys = {
        tuple(one[key] for key in ("model", "task", "split", "metric", "max", "mean"))
        for name in published.FILES
        for one in records(name)
        if one["metric"] in ("Acc", "EM", "F1")
    }
    shown = [
        (one.model, task, split, metric, figure.best, figure.mean)
        for task in tasks()
        for one in rows(task, ("accuracy", "em", "f1"))
        for split, metrics in one.figures.items()
        for metric, figure in metrics.items()
    ]
    assert len(shown) == len(set(shown))
    # Single numbers that another source prints as a max with its mean are left out as well.
    single = {key for key in keys if key[4] and not key[5]}
    full = {key[:5] for key in keys if key[4] and key[5]}
    assert len(shown) == len(keys) - len([key for key in single if key[:5] in full])
    total = sum(
        one["metric"] in ("Acc", "EM", "F1") for name in published.FILES for one in records(name)
    )
    assert (total, len(keys), len(shown)) == (1161, 821, 779)


def test_rows_of_a_model_join_unless_they_disagree() -> None:
    found = rows("ChnSentiCorp", ("accuracy",))
    [joined] = [one for one in found if one.model == "BERT-wwm-ext"]
    # LERT's README has dev only, and the same as that of BERT-wwm, which has test too.
    assert joined.figures == {
        "dev": {"accuracy": Figure(95.4, 94.6, "LERT")},
        "test": {"accuracy": Figure(95.3, 94.7, "BERT-wwm")},
    }
    assert joined.source == "LERT (dev), BERT-wwm (test)"
    one, other = [row for row in found if row.model == "BERT-base"]
    assert (one.source, other.source) == ("Chinese-ELECTRA", "PERT:figure")
    assert one.figures["dev"]["accuracy"].best == 94.7
    assert other.figures["dev"]["accuracy"].best == 95.4


def test_several_metrics_share_a_row() -> None:
    [bert] = [one for one in rows("CMRC2018", ("em", "f1", "average")) if one.model == "BERT"]
    # The first row of LERT's table of CMRC 2018.
    assert bert.figures["dev"] == {
        "em": Figure(65.5, 64.4, "LERT"),
        "f1": Figure(84.5, 84.0, "LERT"),
    }
    assert set(bert.figures) == {"dev", "test", "challenge"}


# Published names whose models are not in the zoo: English, of others, or students and variants
# that were never released.
NOT_IN_THE_ZOO = {
    ("BERT-wwm", "ERNIE"),
    ("BERT-wwm:withdrawn-figure", "ERNIE"),
    ("MiniRBT:30k-steps", "MiniRBT-H256 (one-stage)"),
    ("MiniRBT:30k-steps", "MiniRBT-H256 (two-stage)"),
    *(("PERT:figure", name) for name in ("ALBERT-base", "ALBERT-large", "BERT-large")),
    *(("PERT:figure", name) for name in ("XLNet-base", "XLNet-large", "BERT-base(reproduced)")),
    ("PERT:figure", "BERT-large-wwm(reproduced)"),
    *(("TextBrewer", name) for name in ("Electra-small", "T3", "T3-small", "T4-tiny")),
    ("cmrc2018-baseline", "BERT-multilingual"),
}
# Names that mean a Chinese model in Chinese tables and an English one, not in the zoo, in others.
OF_TWO_LANGUAGES = {"BERT-base", "RoBERTa-base", "RoBERTa-large"}


def every_row() -> list[dict[str, str]]:
    return [record for name in published.FILES for record in records(name)]


def test_every_published_model_is_an_entry_of_the_zoo_or_known_not_to_be() -> None:
    missing = {
        (row["source"], row["model"])
        for row in every_row()
        if published.entry(row["model"], row["source"], row["task"]) is None
    }
    assert missing == NOT_IN_THE_ZOO | {("PERT:figure", name) for name in OF_TWO_LANGUAGES}
    named = {name.rpartition("|")[2] for one in zoo.models().values() for name in one.published}
    assert named <= set(models())


@pytest.mark.parametrize(
    ("source", "model", "task", "expected"),
    [
        ("LERT", "LERT-base", "CMRC2018", "lert-base"),
        ("LERT", "RoBERTa-large", "XNLI", "roberta-wwm-ext-large"),
        ("MiniRBT", "RoBERTa", "OCNLI", "roberta-wwm-ext"),
        ("LERT", "BERT", "CMRC2018", "bert-base"),
        ("MacBERT", "BERT-base", "XNLI", "bert-base"),
        ("PERT:figure", "BERT-base", "XNLI", "bert-wwm-ext"),
        ("PERT:figure", "BERT-base", "MNLI", None),
        ("PERT:figure", "PERT-base", "MNLI", "english-pert-base"),
        ("PERT:figure", "PERT-base", "XNLI", "pert-base"),
        ("LERT", "ELECTRA-small (180G)", "BQ", "electra-180g-small"),
        ("albert_zh", "ALBERT-large", "XNLI", "albert-zh-large"),
        ("PERT:figure", "ALBERT-large", "MNLI", None),
        ("MiniRBT", "RBT6 (KD)", "BQ", "rbt6-kd"),
    ],
)
def test_names_resolve(source: str, model: str, task: str, expected: str | None) -> None:
    found = published.entry(model, source, task)
    assert (found and found.name) == expected


def test_a_published_count_is_the_entry_s() -> None:
    rows_of_counts = [row for row in every_row() if row["metric"] == "params_M"]
    assert len(rows_of_counts) > 10
    for row in rows_of_counts:
        found = published.entry(row["model"], row["source"], row["task"])
        assert found is not None
        assert found.parameters / 1e6 == pytest.approx(float(row["max"]), abs=1)


def test_scores_of_a_model_are_each_there_once() -> None:
    scores = published.scores_of(zoo.find("roberta-wwm-ext"))
    assert len(set(scores)) == len(scores) > 40
    tasks_of = [score.task for score in scores]
    assert [task for i, task in enumerate(tasks_of) if task not in tasks_of[:i]] == list(
        dict.fromkeys(tasks_of)
    )
    both = [s.figure for s in scores if (s.task, s.split) == ("ChnSentiCorp", "dev")]
    assert {figure.best for figure in both} >= {95.0, 94.9}  # sources differ: both are here
    assert not any("average" in task for task in tasks_of)
    single = published.scores_of(zoo.find("rbt3"))
    ocnli = [score for score in single if score.task == "OCNLI"]
    assert [(s.figure.best, s.figure.mean) for s in ocnli] == [(None, 69.8)]
    assert published.scores_of(zoo.find("rbt4")) == []
