"""Chinese-ELECTRA's settings: JSON as it is given there, its defaults, its rules, its mistakes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hanmo.commands._electra_hparams import (
    OTHER_READER,
    PLACES,
    WITHOUT_EFFECT,
    Hparams,
    read_hparams,
    remarks,
    resolve,
)
from hanmo.core.errors import UserError


def settings(**given: Any) -> Hparams:
    return resolve(read_hparams(json.dumps(given)))


@pytest.mark.parametrize(
    "text",
    [
        '{"task_names": ["cmrc2018"], "train_batch_size": 16}',
        '{"task_names": ["cmrc2018",], "train_batch_size": 16,}',
        ' {\n  "task_names": ["cmrc2018"],\n  "train_batch_size": 16 ,\n}\n',
    ],
)
def test_a_comma_may_follow_the_last_entry(text: str, tmp_path: Path) -> None:
    wanted = {"task_names": ["cmrc2018"], "train_batch_size": 16}
    assert read_hparams(text) == wanted
    file = tmp_path / "params.json"
    file.write_text("\ufeff" + text, encoding="utf-8")
    assert read_hparams(str(file)) == wanted


def test_commas_in_texts_are_left_alone() -> None:
    assert read_hparams('{"tpu_name": "a,]\\",}", "tpu_zone": ",}"}') == {
        "tpu_name": 'a,]",}',
        "tpu_zone": ",}",
    }


@pytest.mark.parametrize(
    "text",
    [
        "{,}",
        '{"task_names": [,]}',
        '{"task_names": ["drcd",,]}',
        '{"debug": true,,}',
        '{"debug": ,}',
        "{'debug': true}",
        '{"debug": true} // a remark',
        '{"learning_rate": NaN}',
        '{"learning_rate": Infinity}',
    ],
)
def test_nothing_else_is_added_to_json(text: str) -> None:
    with pytest.raises(UserError, match="--hparams: not JSON"):
        read_hparams(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"vocb_size": 21128}', r"unknown key 'vocb_size'; did you mean 'vocab_size'\?"),
        ('{"debug": true, "debug": false}', "debug: given twice"),
        ('{"task_names": "cmrc2018"}', r'task_names: got .*expected a list of texts, as \["cmrc'),
        ('{"task_names": [1]}', "task_names: got .*expected a text"),
        ('{"train_batch_size": 32.0}', r"train_batch_size: got 32\.0; expected a whole number"),
        ('{"train_batch_size": true}', "train_batch_size: got True; expected a whole number"),
        ('{"train_batch_size": 0}', "train_batch_size: got 0; expected 1 or more"),
        ('{"learning_rate": "3e-4"}', "learning_rate: got '3e-4'; expected a number"),
        ('{"do_train": 1}', "do_train: got 1; expected true or false"),
        ('{"model_size": "tiny"}', "model_size: got 'tiny'; expected one of 'small', 'base'"),
        ('{"vocab_size": null}', "vocab_size: got None; expected a whole number"),
        ('{"num_train_epochs": 2.5}', r"num_train_epochs: got 2\.5; expected a whole number, 1"),
        ('{"num_trials": -1}', "num_trials: got -1; expected 1 or more"),
        ('{"do_lower_case": false}', "do_lower_case: got False; expected true: hanmo's tokenizer"),
        ('{"model_dir": "x"}', "model_dir: places follow from --data-dir and --model-name"),
        ("[1]", r"--hparams \[1\]: no such file"),
        ("no.json", r"--hparams no\.json: no such file; expected a JSON file"),
    ],
)
def test_mistakes_say_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_hparams(text)


def test_defaults_are_those_of_upstreams_configuration() -> None:
    """facts/04, "configure_finetuning.py"; the model's size is small, the task a single one."""
    found = settings(task_names=["cmrc2018"])
    assert (found.learning_rate, found.layerwise_lr_decay) == (1e-4, 0.8)
    assert (found.weight_decay_rate, found.warmup_proportion) == (0.01, 0.1)
    assert (found.train_batch_size, found.max_seq_length) == (32, 128)
    assert (found.max_query_length, found.doc_stride, found.max_answer_length) == (64, 128, 30)
    assert (found.num_train_epochs, found.num_trials, found.embedding_size) == (3, 1, 128)
    assert found.do_train and found.do_eval and found.do_test and found.keep_all_models
    assert not found.write_test_outputs
    assert resolve(read_hparams(None)).task_names == ["chunk"]


@pytest.mark.parametrize(
    ("given", "length", "epochs"),
    [
        ({"task_names": ["rte"]}, 128, 10),
        ({"task_names": ["sts"]}, 128, 10),
        ({"task_names": ["squadv1"]}, 512, 2),
        ({"task_names": ["newsqa"]}, 512, 2),
        ({"task_names": ["chunk"]}, 256, 3),
        ({"task_names": ["xnli"]}, 128, 3),
        ({"task_names": ["squad", "rte"]}, 128, 3),
        ({"task_names": ["squad"], "max_seq_length": 384, "num_train_epochs": 4}, 384, 4),
    ],
)
def test_rules_of_tasks(given: dict[str, Any], length: int, epochs: int) -> None:
    found = settings(**given)
    assert (found.max_seq_length, found.num_train_epochs) == (length, epochs)


def test_rules_of_sizes_come_before_what_is_given() -> None:
    large = settings(model_size="large")
    assert (large.learning_rate, large.layerwise_lr_decay) == (5e-5, 0.9)
    assert large.embedding_size is None
    assert settings(model_size="large", learning_rate=1e-4).learning_rate == 1e-4
    assert settings(model_size="base").embedding_size is None
    assert settings(model_size="small", embedding_size=256).embedding_size == 256


def test_what_has_no_effect_is_one_line_and_only_when_changed() -> None:
    assert remarks(settings(eval_batch_size=32, use_tpu=False, beam_size=20)) == []
    lines = remarks(settings(eval_batch_size=8, use_tpu=True, beam_size=5, joint_prediction=False))
    assert lines[0] == "no effect here: eval_batch_size, use_tpu"
    assert lines[1].startswith("no effect here, for hanmo reads passages with BERT's head")
    assert lines[1].endswith(": joint_prediction, beam_size")
    assert len(lines) == 2


def test_every_key_is_in_the_table_of_the_page() -> None:
    names = [one.name for one in dataclasses.fields(Hparams)]
    assert {*WITHOUT_EFFECT, *OTHER_READER} < set(names)
    text = (Path(__file__).resolve().parents[3] / "docs" / "electra.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    missing = [name for name in (*names, *PLACES) if f"`{name}`" not in table]
    assert missing == []
