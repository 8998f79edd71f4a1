"""`hanmo.load` on folders written by transformers and by hanmo: classes, outputs, traps."""

import dataclasses
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import hanmo
from hanmo.core.errors import UserError
from hanmo.loading import contents
from hanmo.model import checkpoint, zoo
from hanmo.model.encoder import Encoder
from hanmo.model.masked_lm import MaskedLm
from hanmo.model.partner import add_partner
from hanmo.model.permuted_lm import PermutedLm
from hanmo.objectives import electra
from hanmo.tasks.kinds._pooled import Pooled, cross_entropy
from hanmo.text.tokenizer import Tokenizer
from hanmo.text.vocab import write_vocab
from loading_cases import (
    CLASSES,
    IDS,
    NARROW,
    SHAPE,
    TEXT,
    VOCAB,
    changed,
    close,
    randomise,
    same,
    without,
    written,
)
from training_cases import TINY, TINY_ALBERT, TINY_ELECTRA

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("name", CLASSES)
def test_a_folder_of_transformers_opens_as_what_it_is(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    original = written(tmp_path, name)
    capfd.readouterr()
    tokenizer, model = hanmo.load(tmp_path)
    assert type(model).__name__ == name
    assert type(tokenizer).__name__ == "BertTokenizer"
    assert same(model, original)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert capfd.readouterr() == ("", "")
    assert tokenizer(TEXT, return_tensors="pt")["input_ids"].tolist() == IDS.tolist()


@pytest.mark.parametrize("name", CLASSES)
def test_without_a_class_in_its_configuration_the_weights_tell(name: str, tmp_path: Path) -> None:
    original = written(tmp_path, name)
    changed(tmp_path, architectures=None)
    _, model = hanmo.load(str(tmp_path))
    assert type(model) is type(original)
    assert same(model, original)


@pytest.mark.parametrize("name", ["BertForPreTraining", "ElectraForMaskedLM", "AlbertForMaskedLM"])
def test_the_encoder_of_anything(name: str, tmp_path: Path) -> None:
    original = written(tmp_path, name)
    _, model = hanmo.load(tmp_path, head="encoder")
    assert type(model).__name__ == f"{original.base_model_prefix.title()}Model"
    with torch.no_grad():
        expected = original.base_model(input_ids=IDS).last_hidden_state
        assert close(model(input_ids=IDS).last_hidden_state, expected)


def test_an_encoder_without_a_pooler_has_none(tmp_path: Path) -> None:
    written(tmp_path, "BertForMaskedLM")
    assert hanmo.load(tmp_path, head="encoder")[1].pooler is None
    written(tmp_path, "BertForPreTraining")
    assert hanmo.load(tmp_path, head="encoder")[1].pooler is not None


def test_a_part_of_what_is_there(tmp_path: Path) -> None:
    original = written(tmp_path, "BertForPreTraining")
    _, model = hanmo.load(tmp_path, head="masked-lm")
    assert type(model).__name__ == "BertForMaskedLM"
    with torch.no_grad():
        expected = original(input_ids=IDS).prediction_logits
        assert close(model(input_ids=IDS).logits, expected)
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight


def test_a_bert_called_roberta_is_a_bert(tmp_path: Path) -> None:
    folder = tmp_path / "my-roberta-of-others"
    original = written(folder, "BertForMaskedLM")
    for keys in (
        {"model_type": None, "architectures": None},
        {"model_type": "bert"},
        {"model_type": "roberta", "architectures": ["RobertaForMaskedLM"]},
    ):
        changed(folder, **keys)
        tokenizer, model = hanmo.load(folder)
        assert type(model).__name__ == "BertForMaskedLM"
        assert type(tokenizer).__name__ == "BertTokenizer"
        assert same(model, original)
        assert model.config.model_type == "bert"


def test_a_real_roberta_is_refused(tmp_path: Path) -> None:
    config = transformers.RobertaConfig(**SHAPE)
    transformers.RobertaModel(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"model_type 'roberta'.*expected one of bert, electra"):
        hanmo.load(tmp_path)


def test_weights_without_prefix_and_with_old_names(tmp_path: Path) -> None:
    original = written(tmp_path, "BertModel")
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            ".LayerNorm.bias", ".LayerNorm.beta"
        ): t
        for name, t in original.state_dict().items()
    }
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").rename(tmp_path / "bert_config.json")  # as in HFL's PyTorch zips
    _, model = hanmo.load(tmp_path)
    assert same(model, original)
    with pytest.raises(UserError, match="has no masked-lm head: it is an encoder alone"):
        hanmo.load(tmp_path, head="masked-lm")


def test_encoder_weights_without_prefix_beside_a_head(tmp_path: Path) -> None:
    original = written(tmp_path, "BertForMaskedLM")
    path = tmp_path / "model.safetensors"
    state = {k.removeprefix("bert."): v.clone() for k, v in load_file(path).items()}
    save_file(state, path)
    assert same(hanmo.load(tmp_path)[1], original)


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    written(tmp_path, "BertModel")
    (tmp_path / "model.safetensors").unlink()
    torch.save({"embeddings": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="a pickle that holds more than tensors"):
        hanmo.load(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_the_tokenizer_knows_its_vocabulary(tmp_path: Path, data_dir: Path) -> None:
    written(tmp_path, "BertModel", vocab_size=21128)
    text = (data_dir / "vocab" / "vocab.txt").read_bytes()
    (tmp_path / "vocab.txt").write_bytes(text)
    tokenizer, _ = hanmo.load(tmp_path)
    assert len(tokenizer) == 21128
    assert tokenizer.convert_tokens_to_ids(["中", "##中", "\u2028", "[MASK]"]) == [
        704,
        13761,
        343,
        103,
    ]
    sentence = "我在北京[MASK]作。Hello"
    expected = transformers.BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer(sentence)["input_ids"] == expected(sentence)["input_ids"]
    assert tokenizer.unk_token_id not in tokenizer(sentence)["input_ids"]
    assert tokenizer.model_max_length == 64


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("lert/lert_config_small.json", "BertForMaskedLM"),
        ("minirbt/MiniRBT-h256.json", "BertForMaskedLM"),
        ("chinese-electra/small_discriminator_config.json", "ElectraForPreTraining"),
        ("chinese-electra/small_generator_config.json", "ElectraForMaskedLM"),
        ("albert_zh/albert_config_tiny_google.json", "AlbertForMaskedLM"),
    ],
)
def test_real_configurations(path: str, name: str, data_dir: Path, tmp_path: Path) -> None:
    raw = json.loads((data_dir / "configs" / path).read_text(encoding="utf-8"))
    made = getattr(transformers, name)
    original = made(made.config_class.from_dict(raw)).eval()
    randomise(original)
    torch.save(original.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(raw))
    (tmp_path / "vocab.txt").write_bytes((data_dir / "vocab" / "vocab.txt").read_bytes())
    tokenizer, model = hanmo.load(tmp_path)
    assert type(model) is made
    assert same(model, original)
    assert model.config.num_attention_heads == raw["num_attention_heads"]
    assert len(tokenizer) == raw["vocab_size"]


def test_what_the_tokenizer_s_file_says_counts(tmp_path: Path) -> None:
    written(tmp_path, "BertModel")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": False, "model_max_length": 1e30, "tokenizer_class": "Roberta"})
    )
    tokenizer, _ = hanmo.load(tmp_path)
    assert tokenizer("Hello")["input_ids"] == [2, 1, 3]
    assert tokenizer.model_max_length == 64
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(UserError, match=r"tokenizer_config.json: not JSON"):
        hanmo.load(tmp_path)


def test_more_pieces_than_the_model_has(tmp_path: Path) -> None:
    written(tmp_path, "BertModel")
    write_vocab(tmp_path / "vocab.txt", [*VOCAB, "多"])
    with pytest.raises(UserError, match=r"vocab.txt has 15 pieces, config.json says 14"):
        hanmo.load(tmp_path)


def test_a_head_that_is_missing(tmp_path: Path) -> None:
    written(tmp_path / "bert", "BertForMaskedLM")
    without(tmp_path / "bert", "cls.")
    _, model = hanmo.load(tmp_path / "bert")  # its config.json speaks of a head in vain
    assert type(model).__name__ == "BertModel"
    with pytest.raises(UserError, match=r"no masked-lm head.*hanmo pretrain --init .*lert-base"):
        hanmo.load(tmp_path / "bert", head="masked-lm")
    with pytest.raises(UserError, match=r"no sequence-classification head.*hanmo finetune"):
        hanmo.load(tmp_path / "bert", head="sequence-classification")
    written(tmp_path / "discriminator", "ElectraForPreTraining")
    with pytest.raises(UserError, match="it has pre-training; its generator has it"):
        hanmo.load(tmp_path / "discriminator", head="masked-lm")
    written(tmp_path / "generator", "ElectraForMaskedLM")
    with pytest.raises(UserError, match="it has masked-lm; the discriminator has it"):
        hanmo.load(tmp_path / "generator", head="pre-training")


def test_a_part_of_a_head_is_not_filled_up(tmp_path: Path) -> None:
    written(tmp_path, "BertForMaskedLM")
    without(tmp_path, "cls.predictions.transform.LayerNorm.")
    with pytest.raises(UserError, match=r"as BertForMaskedLM: missing cls.predictions.transform.L"):
        hanmo.load(tmp_path)


@pytest.mark.parametrize("name", ["BertForMaskedLM", "ElectraForMaskedLM", "AlbertForMaskedLM"])
def test_a_head_that_was_never_trained(name: str, tmp_path: Path) -> None:
    model = written(tmp_path, name)
    held = contents.contents_of(tmp_path)
    [place] = [key for key in held.state if key.endswith(("predictions.bias", "lm_head.bias"))]
    path = tmp_path / "model.safetensors"
    state = {k: v * 0 if k == place else v.clone() for k, v in load_file(path).items()}
    save_file(state, path)
    with pytest.raises(UserError, match=r"masked-lm head was never trained"):
        hanmo.load(tmp_path, head="masked-lm")
    _, loaded = hanmo.load(tmp_path)
    assert type(loaded).__name__ == f"{model.base_model_prefix.title()}Model"


def test_an_unknown_class_is_not_guessed(tmp_path: Path) -> None:
    written(tmp_path, "BertForQuestionAnswering")
    changed(tmp_path, architectures=["HanmoSpanEnds"])
    with pytest.raises(UserError, match=r"names HanmoSpanEnds.*choose a head: encoder, masked-lm"):
        hanmo.load(tmp_path)
    assert type(hanmo.load(tmp_path, head="encoder")[1]).__name__ == "BertModel"


def test_numbers_that_do_not_fit_the_weights(tmp_path: Path) -> None:
    written(tmp_path, "BertForMaskedLM")
    changed(tmp_path, hidden_size=32)
    with pytest.raises(UserError, match=r"wrong shape: bert.embeddings.*expected \(32,\).* more"):
        hanmo.load(tmp_path)


def test_a_generator_with_its_discriminator_s_numbers(tmp_path: Path) -> None:
    entry = zoo.find("electra-small-generator")
    folder = tmp_path / "chinese-electra-small-generator"
    shape = {key: getattr(entry.shape, key) for key in NARROW if key != "vocab_size"}
    original = written(folder, "ElectraForMaskedLM", **shape)
    wrong = zoo.find("electra-small").shape
    changed(folder, hidden_size=256, num_attention_heads=4, intermediate_size=1024)
    with pytest.warns(
        UserWarning, match="hidden_size 256, its weights have 64; the numbers of ele"
    ):
        _, model = hanmo.load(folder)
    assert model.config.num_attention_heads == 1 != wrong.num_attention_heads
    assert same(model, original)
    folder = folder.rename(tmp_path / "somebody-s")
    with pytest.raises(UserError, match="of an ELECTRA, that of the same half"):
        hanmo.load(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "config.json: no such file; expected a model folder"),
        ({"a_config.json": "{}", "b_config.json": "{}"}, "of a_config.json, b_config.json rename"),
        ({"config.json": "{"}, "config.json: not JSON"),
        ({"config.json": "[1]"}, "no hidden_size in it"),
        ({"config.json": '{"layers": 1}'}, "no hidden_size in it"),
        ({"config.json": '{"hidden_size": 8}'}, "neither model.safetensors nor pytorch_model.bin"),
        ({"config.json": '{"hidden_size": 8}', "model.safetensors": "x"}, "damaged weights"),
        (
            {"lert_config.json": '{"hidden_size": 8}', "lert_model.ckpt.index": ""},
            r"a TensorFlow checkpoint \(by its name lert-base\): .* with hanmo convert first",
        ),
    ],
)
def test_folders_that_are_no_models(files: dict[str, str], message: str, tmp_path: Path) -> None:
    folder = tmp_path / "chinese_lert_base_L-12_H-768_A-12"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(UserError, match=message):
        hanmo.load(folder)


def test_no_vocabulary(tmp_path: Path) -> None:
    written(tmp_path, "BertModel")
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(UserError, match=r"vocab.txt: no such vocabulary"):
        hanmo.load(tmp_path)


def test_options_with_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"library: no 'transformer'; did you mean 'transformers'"):
        hanmo.load(tmp_path, library="transformer")
    with pytest.raises(UserError, match=r"head: no 'mlm'.*known: encoder, masked-lm"):
        hanmo.load(tmp_path, head="mlm")


# ------------------------------------------------------------------------- folders of hanmo's


def own_tokenizer() -> Tokenizer:
    return Tokenizer(VOCAB)


def of_size(config: Any) -> Any:
    return dataclasses.replace(config, vocab_size=len(VOCAB))


@torch.no_grad()
def hidden(model: Any) -> torch.Tensor:
    """States of hanmo's encoder for the text: [n, H]."""
    steps = torch.arange(IDS.shape[1])[None]
    encoded: torch.Tensor = model(IDS, torch.zeros_like(IDS), steps, torch.ones_like(IDS))
    return encoded.reshape(-1, encoded.shape[-1])


@pytest.mark.parametrize(
    ("config", "name"),
    [(TINY, "BertForMaskedLM"), (TINY_ALBERT, "AlbertForMaskedLM")],
    ids=["bert", "albert"],
)
def test_a_masked_lm_of_hanmo_s(config: Any, name: str, tmp_path: Path) -> None:
    original = MaskedLm(of_size(config), layers={"pos": ("n", "v", "wp")})
    randomise(original)
    original.eval()
    checkpoint.save_model(tmp_path, original, tokenizer=own_tokenizer())
    _, model = hanmo.load(tmp_path)
    assert type(model).__name__ == name
    with torch.no_grad():
        transformed = original.cls.predictions.transform(hidden(original.bert))
        weight = original.bert.embeddings.word_embeddings.weight
        assert close(model(input_ids=IDS).logits[0], original.cls.logits(transformed, weight))
    tokenizer, own = hanmo.load(tmp_path, library="hanmo")
    assert isinstance(own, MaskedLm)
    assert not own.training
    assert set(own.tags) == {"pos"}
    assert torch.equal(own.tags["pos"].weight, original.tags["pos"].weight)
    assert tokenizer.encode(TEXT).ids.tolist() == IDS[0, 1:-1].tolist()
    _, encoder = hanmo.load(tmp_path, library="hanmo", head="encoder")
    assert isinstance(encoder, Encoder)
    assert close(hidden(encoder), hidden(original.bert))


def test_an_electra_of_hanmo_s_is_two_folders(tmp_path: Path) -> None:
    original: Any = electra.Objective().build(of_size(TINY_ELECTRA), {})
    randomise(original)
    checkpoint.save_model(tmp_path, original.eval(), tokenizer=own_tokenizer())
    _, model = hanmo.load(tmp_path)
    assert type(model).__name__ == "ElectraForPreTraining"
    with torch.no_grad():
        expected = original.discriminator_predictions(hidden(original.bert))
        assert close(model(input_ids=IDS).logits[0], expected)
    _, generator = hanmo.load(tmp_path / "generator")
    assert type(generator).__name__ == "ElectraForMaskedLM"
    _, encoder = hanmo.load(tmp_path, library="hanmo")
    assert isinstance(encoder, Encoder)
    assert isinstance(hanmo.load(tmp_path / "generator", library="hanmo")[1], MaskedLm)


def test_with_a_partner_and_of_pert(tmp_path: Path) -> None:
    with_partner = MaskedLm(of_size(TINY))
    add_partner(with_partner)
    randomise(with_partner)
    checkpoint.save_model(tmp_path / "sop", with_partner, tokenizer=own_tokenizer())
    _, model = hanmo.load(tmp_path / "sop")
    assert type(model).__name__ == "BertForPreTraining"
    weight = with_partner.cls.seq_relationship.weight
    assert torch.equal(model.cls.seq_relationship.weight, weight)
    assert isinstance(hanmo.load(tmp_path / "sop", library="hanmo")[1], MaskedLm)
    pert = PermutedLm(of_size(TINY))
    randomise(pert)
    checkpoint.save_model(tmp_path / "pert", pert, tokenizer=own_tokenizer())
    _, model = hanmo.load(tmp_path / "pert")
    assert type(model).__name__ == "BertModel"
    assert model.pooler is None
    with torch.no_grad():
        assert close(model(input_ids=IDS).last_hidden_state[0], hidden(pert.bert.eval()))


@pytest.mark.parametrize("config", [TINY, TINY_ELECTRA], ids=["bert", "electra"])
def test_a_fine_tuned_folder(config: Any, tmp_path: Path) -> None:
    original = Pooled(Encoder(of_size(config)), 3, cross_entropy)
    randomise(original)
    labels = {str(i): name for i, name in enumerate("abc")}
    checkpoint.save_model(tmp_path, original, tokenizer=own_tokenizer(), id2label=labels)
    _, model = hanmo.load(tmp_path)
    assert type(model).__name__.endswith("ForSequenceClassification")
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    with pytest.raises(UserError, match="library='hanmo' has the encoder and the masked-lm head"):
        hanmo.load(tmp_path, library="hanmo")
    assert isinstance(hanmo.load(tmp_path, library="hanmo", head="encoder")[1], Encoder)


# ---------------------------------------------------------------------------------- being light


def test_importing_hanmo_imports_nothing_heavy() -> None:
    program = (
        "import sys, hanmo\n"
        "heavy = {'torch', 'numpy', 'transformers', 'hanmo.loading'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert callable(hanmo.load)\n"
        "assert 'transformers' not in sys.modules and 'huggingface_hub' not in sys.modules\n"
        "try:\n    hanmo.lode\nexcept AttributeError as error:\n    assert 'lode' in str(error)\n"
        "else:\n    raise SystemExit(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MaskedLm(of_size(TINY))
    randomise(model)
    checkpoint.save_model(tmp_path, model, tokenizer=own_tokenizer())
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert isinstance(hanmo.load(tmp_path, library="hanmo")[1], MaskedLm)
    with pytest.raises(UserError, match=r"pip install 'hanmo\[transformers\]'; library='hanmo'"):
        hanmo.load(tmp_path)
    with pytest.raises(UserError, match=r"pip install 'hanmo\[transformers\]'; a folder"):
        hanmo.load("lert-base", library="hanmo")


def test_the_progress_bars_of_others_stay_as_they_were(tmp_path: Path) -> None:
    written(tmp_path, "BertModel")
    logging = transformers.utils.logging
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shown in (True, False):
            (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
            hanmo.load(tmp_path)
            assert logging.is_progress_bar_enabled() == shown
    logging.enable_progress_bar()
