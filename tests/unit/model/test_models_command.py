"""`hanmo models`: list, show."""

import json
import subprocess
import sys
from typing import Any

import pytest

from hanmo.commands import models
from hanmo.commands.models import Config
from hanmo.core.errors import UserError
from hanmo.model import zoo


def run(*words: str, **settings: Any) -> dict[str, Any]:
    action, *names = words or ("list",)
    return models.run(Config(action, names, **settings))


def said(*words: str) -> str:
    return " ".join(run(*words)["text"].split())


def listed(*words: str, **settings: Any) -> list[str]:
    return [one["name"] for one in run("list", *words, **settings)["json"]]


def test_the_command_imports_no_torch() -> None:
    for words in (["models"], ["models", "show", "lert-base", "--json"]):
        program = (
            "import sys\nfrom hanmo.cli import main\n"
            f"code = main({words!r})\nassert 'torch' not in sys.modules\nraise SystemExit(code)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_list_has_every_model_in_aligned_columns() -> None:
    result = run()
    lines = [line for line in result["text"].splitlines() if line.partition(" ")[0] in zoo.models()]
    assert [line.split()[0] for line in lines] == list(zoo.models()) == listed()
    assert len({line.index(zoo.models()[line.split()[0]].family + " ", 80) for line in lines}) == 1
    for text in ("hfl/chinese-lert-base ", "hfl/rbt4 ?", "102,267,648", "LERT: ymcui/LERT"):
        assert text in result["text"]
    assert not result["text"].count("hfl/rbt3 ?")
    json.dumps(result["json"])


def test_words_and_a_family_choose() -> None:
    assert listed("macbert") == ["macbert-base", "macbert-large"]
    assert listed("ELECTRA", "180g", "small-ex") == [
        "electra-180g-small-ex",
        "electra-180g-small-ex-generator",
    ]
    assert listed("judgments") == ["legal-bert"]
    albert = listed(family="albert")
    assert albert
    assert all(zoo.find(name).family == "albert" for name in albert)
    with pytest.raises(UserError, match="none fits 'generator --family bert'"):
        listed("generator", family="bert")


@pytest.mark.parametrize("name", zoo.models())
def test_show_says_everything_of_a_model(name: str) -> None:
    result, model = run("show", name), zoo.find(name)
    text = " ".join(result["text"].split())
    facts = (
        *(model.title, model.corpus, model.objective, model.licence, model.archive_heads),
        *(*model.archives, *model.files, *model.cautions, *model.sources.values()),
        *(f"{model.parameters:,}", f"github.com/{model.repository}", model.id or "id: -"),
    )
    for fact in facts:
        assert " ".join(fact.split()) in text, fact
    if model.id:
        assert f'hanmo.load("{name}"' in text
    assert result["json"]["name"] == name
    assert result["json"]["shape"]["hidden_size"] == model.shape.hidden_size
    json.dumps(result["json"])


def test_show_of_particular_models() -> None:
    text = said("show", "lert-base")
    assert "CMRC2018 dev EM 69.2 68.4 LERT" in text
    assert 'hanmo.load("lert-base", head="masked-lm") BertTokenizer and BertForMaskedLM' in text
    text = said("show", "hfl/chinese-roberta-wwm-ext")
    assert "never RobertaTokenizer" in text
    assert "masked-lm random" in text
    assert 'head="encoder") BertTokenizer and BertModel' in text
    assert "the id at Hugging Face is unverified" in said("show", "rbt6")
    assert "ElectraForPreTraining" in said("show", "electra-base")
    assert "ElectraForMaskedLM" in said("show", "electra-base-generator")
    assert "BertForQuestionAnswering" in said("show", "pert-base-mrc")
    assert "no release is known" in said("show", "legal-bert")
    assert "hanmo convert" not in said("show", "albert-zh-base")
    assert "12 in the configuration file, 8 in the README" in said("show", "minirbt-h288")
    assert "published scores: none" in said("show", "rbt4")
    two = run("show", "rbt3", "rbtl3")
    assert [one["name"] for one in two["json"]] == ["rbt3", "rbtl3"]


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (("shwo",), {}, "models: no action 'shwo'; did you mean 'show'"),
        (("lert-base",), {}, "did you mean: hanmo models show lert-base"),
        (("show",), {}, "models show: no model named"),
        (("show", "lert-bas"), {}, "did you mean 'lert-base'"),
        (("show", "rbt3"), {"family": "bert"}, "--family: belongs to hanmo models list"),
        (("list",), {"family": "brt"}, "--family: no 'brt'; did you mean 'bert'"),
        (("list", "xlnet"), {}, "none fits 'xlnet'"),
    ],
)
def test_mistakes(words: tuple[str, ...], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(*words, **settings)
