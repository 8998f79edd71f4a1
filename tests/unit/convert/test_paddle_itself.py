"""PaddleNLP itself opens what we write, and we read what it writes; skipped without it.

Into an environment of its own (2.5 GB): `pip install paddlepaddle==3.3.1 paddlenlp==3.0.0b4
'aistudio_sdk<0.3' 'huggingface_hub<1' 'numpy>=2.4'` and hanmo, without transformers; run this file
there.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from convert_cases import converted, models, save, shapes
from hanmo.core.errors import UserError
from hanmo.model.checkpoint import load_encoder, load_into, load_masked_lm
from hanmo.model.config import read_config
from hanmo.model.encoder import Encoder
from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
from training_cases import VOCAB, tokenizer

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    paddle: Any = pytest.importorskip("paddle")
    theirs: Any = pytest.importorskip("paddlenlp.transformers", exc_type=ImportError)

SHAPES = shapes()
TEXTS = ("一丁丂七丄 丅丆AB万，x1", "丈三 [MASK] 上下!")
TOLERANCE = 1e-5


def inputs() -> tuple[NDArray, NDArray]:
    """Ids and segments of three rows, one of them short."""
    made, rng = tokenizer(), np.random.default_rng(0)
    ids = rng.choice(made.random_ids, (3, 11))
    ids[:, 0], ids[:, -1] = made.cls_id, made.sep_id
    ids[1, 7], ids[1, 8:] = made.sep_id, made.pad_id
    segments = np.zeros_like(ids)
    segments[[0, 2], 6:] = 1
    return ids.astype(np.int64), segments.astype(np.int64)


IDS, SEGMENTS = inputs()
REAL = tokenizer().pad_id != IDS


@torch.no_grad()
def hidden(encoder: Any) -> torch.Tensor:
    positions = torch.arange(IDS.shape[1]).expand(IDS.shape)
    rows = torch.from_numpy(REAL * (1 + np.arange(len(IDS)))[:, None])
    return encoder.eval()(torch.from_numpy(IDS), torch.from_numpy(SEGMENTS), positions, rows)


@torch.no_grad()
def words(model: Any) -> NDArray:
    transformed = model.cls.predictions.transform(hidden(model.bert))
    return model.cls.logits(transformed, model.bert.embeddings.word_embeddings.weight).numpy()


@torch.no_grad()
def pairs(model: Any) -> NDArray:
    return model.cls.seq_relationship(model.bert.pooler(hidden(model.bert)[:, 0])).numpy()


@torch.no_grad()
def replaced(model: Any) -> NDArray:
    return model.discriminator_predictions(hidden(model.bert)).numpy()


@torch.no_grad()
def classes(model: Any) -> NDArray:
    return model.classifier(model.bert.pooler(hidden(model.bert)[:, 0])).numpy()


def whole(model: Any) -> NDArray:
    return hidden(model.bert).numpy()


def outputs(model: Any) -> list[NDArray]:
    """What a model of PaddleNLP answers."""
    model.eval()
    found = model(paddle.to_tensor(IDS), token_type_ids=paddle.to_tensor(SEGMENTS))
    return [one.numpy() for one in (found if isinstance(found, list | tuple) else [found])]


def same(found: NDArray, expected: NDArray) -> None:
    assert found.shape == expected.shape
    if expected.shape[:2] == REAL.shape:
        found, expected = found[REAL], expected[REAL]
    assert float(np.abs(found - expected).max()) < TOLERANCE


# Kind of model → class of PaddleNLP, folder, what it answers.
Answers = tuple[tuple[str, str, tuple[Callable[[Any], NDArray], ...]], ...]
BERT = ("BertModel", ".", (whole,))
MLM = ("BertForMaskedLM", ".", (words,))
ELECTRA: Answers = (("ElectraModel", ".", (whole,)), ("ElectraDiscriminator", ".", (replaced,)))
EXPECTED: dict[tuple[str, str], Answers] = {
    ("rbt3", "mlm"): (BERT, MLM),
    ("rbt3", "mlm with a partner"): (BERT, ("BertForPretraining", ".", (words, pairs))),
    ("rbt3", "lert"): (BERT, MLM),
    ("relu", "lert"): (BERT, MLM),
    ("rbt3", "classifier"): (BERT, ("BertForSequenceClassification", ".", (classes,))),
    ("electra-small", "electra"): ELECTRA,
    ("electra-small", "electra with a partner"): ELECTRA,
    ("electra-small", "classifier"): (("ElectraForSequenceClassification", ".", (classes,)),),
    ("electra-base", "electra"): ELECTRA,
}


@pytest.mark.parametrize(("shape", "kind"), EXPECTED)
def test_paddlenlp_opens_what_we_write(shape: str, kind: str, tmp_path: Path) -> None:
    model = dict(models(SHAPES[shape]))[kind]
    converted(save(model, tmp_path / "start"), tmp_path / "paddle", "paddle")
    for name, folder, answers in EXPECTED[shape, kind]:
        opened = getattr(theirs, name).from_pretrained(str(tmp_path / "paddle" / folder))
        for found, answer in zip(outputs(opened), answers, strict=False):
            same(found, answer(model))
    if kind.startswith("electra"):
        opened = theirs.ElectraGenerator.from_pretrained(str(tmp_path / "paddle" / "generator"))
        same(outputs(opened)[0], words(model.generator))
    state = paddle.load(str(tmp_path / "paddle" / "model_state.pdparams"))
    assert all(isinstance(value, paddle.Tensor) for value in state.values())


def test_all_parameters_are_found(tmp_path: Path) -> None:
    model = dict(models(SHAPES["rbt3"]))["mlm with a partner"]
    converted(save(model, tmp_path / "start"), tmp_path / "paddle", "paddle")
    opened = theirs.BertForPretraining.from_pretrained(str(tmp_path / "paddle"))
    written = paddle.load(str(tmp_path / "paddle" / "model_state.pdparams"))
    assert opened.state_dict().keys() <= written.keys()


def test_the_tanh_form_opens_as_gelu(tmp_path: Path) -> None:
    model = dict(models(SHAPES["tanh"]))["mlm"]
    converted(save(model, tmp_path / "start"), tmp_path / "paddle", "paddle")
    found = outputs(theirs.BertForMaskedLM.from_pretrained(str(tmp_path / "paddle")))[0]
    assert 1e-5 < float(np.abs(found - words(model))[REAL].max()) < 1e-2


@pytest.mark.parametrize("shape", ["rbt3", "electra-small"])
def test_tokenizers_give_the_same_ids(shape: str, tmp_path: Path) -> None:
    model = next(iter(models(SHAPES[shape])))[1]
    converted(save(model, tmp_path / "start"), tmp_path / "paddle", "paddle")
    name = "ElectraTokenizer" if shape.startswith("electra") else "BertTokenizer"
    for opener in (theirs.AutoTokenizer, getattr(theirs, name)):
        opened = opener.from_pretrained(str(tmp_path / "paddle"))
        assert type(opened).__name__ == name
        for text in TEXTS:
            made = tokenizer()
            wanted = [made.cls_id, *map(int, made.encode(text, specials=True).ids), made.sep_id]
            assert opened(text)["input_ids"] == wanted


def made_there(name: str, **settings: Any) -> Any:
    """A model of PaddleNLP with values that a mix-up would show."""
    paddle.seed(3)
    narrow = {"embedding_size": 8} if name.startswith("Electra") else {}
    config = (theirs.ElectraConfig if narrow else theirs.BertConfig)(
        vocab_size=len(VOCAB),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        type_vocab_size=2,
        initializer_range=0.2,
        **narrow,
        **settings,
    )
    model = getattr(theirs, name)(config)
    for parameter in model.parameters():
        if len(parameter.shape) == 1:
            parameter.set_value(parameter + 0.2 * paddle.randn(parameter.shape))
    return model


def encoder_of(folder: Path) -> NDArray:
    return hidden(load_encoder(folder)).numpy()


def words_of(folder: Path) -> NDArray:
    return words(load_masked_lm(folder))


def classes_of(folder: Path) -> NDArray:
    model = Pooled(Encoder(read_config(folder / "config.json")), 3, cross_entropy)
    assert not load_into(model, folder).fresh
    return classes(model.eval())


def written(model: Any, folder: Path, how: str) -> None:
    model.save_pretrained(str(folder), safe_serialization=how == "safetensors")
    if how.startswith("protocol"):
        path = str(folder / "model_state.pdparams")
        paddle.save(model.state_dict(), path, protocol=int(how[-1]))


@pytest.mark.parametrize("how", ["save_pretrained", "safetensors", "protocol 2", "protocol 4"])
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("BertModel", encoder_of),
        ("BertForMaskedLM", words_of),
        ("BertForPretraining", words_of),
        ("BertForSequenceClassification", classes_of),
        ("ElectraModel", encoder_of),
        ("ElectraDiscriminator", encoder_of),
        ("ElectraGenerator", words_of),
        ("ElectraForSequenceClassification", classes_of),
    ],
)
def test_we_read_what_paddlenlp_saves(
    name: str, answer: Callable[[Path], NDArray], how: str, tmp_path: Path
) -> None:
    model = made_there(name, **({"num_labels": 3} if "Classification" in name else {}))
    written(model, tmp_path / "paddle", how)
    report = converted(tmp_path / "paddle", tmp_path / "back", "hf")
    assert report["source"] == "PaddleNLP folder"
    expected = model.electra if name == "ElectraDiscriminator" else model
    same(answer(tmp_path / "back"), outputs(expected)[0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("how", ["save_pretrained", "safetensors"])
def test_half_precision(dtype: str, how: str, tmp_path: Path) -> None:
    model = made_there("BertForMaskedLM").to(dtype=dtype)
    written(model, tmp_path / "paddle", how)
    report = converted(tmp_path / "paddle", tmp_path / "back", "paddle")
    assert report["class"] == "BertForMaskedLM"
    one = paddle.load(str(tmp_path / "back" / "model_state.pdparams"))
    for key, value in model.state_dict().items():
        assert one[key].dtype == value.dtype
        assert np.array_equal(one[key].astype("float32").numpy(), value.astype("float32").numpy())


def test_a_model_trained_further_there(tmp_path: Path) -> None:
    """PaddleNLP keeps hanmo's entry of config.json; its own head and labels count."""
    model = dict(models(SHAPES["tanh"]))["lert"]
    converted(save(model, tmp_path / "start"), tmp_path / "paddle", "paddle")
    opened = theirs.BertForSequenceClassification.from_pretrained(
        str(tmp_path / "paddle"), num_labels=3
    )
    opened.save_pretrained(str(tmp_path / "tuned"))
    assert "hanmo" in json.loads((tmp_path / "tuned" / "config.json").read_text())
    report = converted(tmp_path / "tuned", tmp_path / "back", "hf")
    assert (report["class"], report["labels"]) == ("BertForSequenceClassification", {})
    same(classes_of(tmp_path / "back"), outputs(opened)[0])


def test_an_untied_matrix_is_refused(tmp_path: Path) -> None:
    model = made_there("BertForMaskedLM")
    written(model, tmp_path / "paddle", "save_pretrained")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["cls.predictions.decoder.weight"] += 1
    paddle.save(state, str(tmp_path / "paddle" / "model_state.pdparams"))
    with pytest.raises(UserError, match="is a parameter of its own"):
        converted(tmp_path / "paddle", tmp_path / "back", "hf")
