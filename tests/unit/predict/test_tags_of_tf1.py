"""Labels of masked words from a LERT of TensorFlow 1: the heads come along, in their order."""

import json
from pathlib import Path

import torch

from convert_cases import LAYERS, converted, save, shapes
from hanmo.annotate.tagsets import TAGSETS
from hanmo.convert.tf1.bundle import Bundle, find_prefix
from hanmo.model.checkpoint import save_model
from hanmo.model.masked_lm import MaskedLm
from hanmo.predict.tags import Predict
from training_cases import tokenizer


def test_tags_from_a_checkpoint_of_tensorflow(tmp_path: Path) -> None:
    model = MaskedLm(shapes()["small"], layers=LAYERS)
    start = save(model, tmp_path / "start")
    with torch.no_grad():  # a head that says "ns" whatever the word
        model.tags["pos"].bias[TAGSETS["pos"].index("ns")] = 50.0
    save_model(start, model, tokenizer=tokenizer())
    converted(start, tmp_path / "tf1", "tf1")
    bundle = Bundle(find_prefix(tmp_path / "tf1"))
    bias = bundle.read("cls/predictions/output_pos_layer/bias")
    assert int(bias.argmax()) == 9  # facts/01: 9 ns
    (tmp_path / "tf1" / "manifest.json").unlink()
    raw = json.loads((tmp_path / "tf1" / "lert_config.json").read_text())
    del raw["hanmo"]  # upstream's file has no entry of hanmo's
    (tmp_path / "tf1" / "lert_config.json").write_text(json.dumps(raw))
    converted(tmp_path / "tf1", tmp_path / "out", "hanmo")
    predictor = Predict().load(tmp_path / "out", top_k=1)
    text = "一[MASK][MASK]丁"
    [answer] = predictor([text])
    assert answer["words"][0]["layers"]["pos"][0]["label"] == "ns"
    [expected] = Predict().load(start, top_k=1)([text])
    assert answer == expected


def test_the_published_order() -> None:
    """The index of a label is the row of the released heads (facts/01): never to be changed."""
    assert " ".join(TAGSETS["pos"]) == (
        "n v wp u d a m p r ns c q nt nh nd j i b ni nz nl z k ws o h e %"
    )
    assert " ".join(TAGSETS["ner"]) == (
        "O S-Ns S-Nh B-Ni E-Ni I-Ni S-Ni B-Ns E-Ns I-Ns B-Nh E-Nh I-Nh"
    )
    assert " ".join(TAGSETS["dep"]) == "ATT WP ADV VOB SBV COO RAD HED POB CMP LAD FOB DBL IOB"
