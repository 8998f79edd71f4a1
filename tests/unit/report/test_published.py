"""Published figures: what is kept of the files, equal figures once, sizes of the models."""

import csv
from importlib import resources

import pytest

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
