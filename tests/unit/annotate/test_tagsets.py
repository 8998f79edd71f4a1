"""The inventories are LERT's, and every mapping table leads into them."""

import pytest

from hanmo.annotate import tagsets
from hanmo.annotate.tagsets import TAGSETS, ictclas_pos, label_ids, ltp_dep, ltp_pos
from hanmo.core.errors import UserError


def test_sizes_and_order_are_those_of_the_released_heads() -> None:
    assert {layer: len(labels) for layer, labels in TAGSETS.items()} == {
        "pos": 28,
        "ner": 13,
        "dep": 14,
    }
    for labels in TAGSETS.values():
        assert len(set(labels)) == len(labels)
    # Ids as they stand in LERT's run_pretraining.py.
    assert label_ids("pos", ["n", "wp", "ns", "nh", "ni", "%"]).tolist() == [0, 2, 9, 13, 18, 27]
    assert label_ids("ner", ["O", "S-Ns", "B-Ni", "I-Nh"]).tolist() == [0, 1, 3, 12]
    assert label_ids("dep", ["ATT", "SBV", "HED", "IOB"]).tolist() == [0, 4, 7, 13]


@pytest.mark.parametrize("layer", list(TAGSETS))
def test_ids_are_places_in_the_inventory(layer: str) -> None:
    labels = (*TAGSETS[layer], None)
    ids = label_ids(layer, labels)
    assert str(ids.dtype) == "int8"
    assert ids.tolist() == [*range(len(TAGSETS[layer])), -1]


def test_unknown_labels_and_layers_name_what_is_known() -> None:
    with pytest.raises(UserError, match=r"unknown ner label 'B-Nhh'.*did you mean 'B-Nh'"):
        label_ids("ner", ["O", "B-Nhh"])
    with pytest.raises(UserError, match=r"unknown layer 'srl'.*pos, ner, dep"):
        label_ids("srl", [])


def test_every_table_leads_into_the_inventory() -> None:
    for table in (tagsets.ICTCLAS_POS, tagsets.UD_XPOS, tagsets.UD_UPOS):
        assert set(table.values()) <= set(TAGSETS["pos"])
    prefixed = {f"B-{kind}" for kind in tagsets.ENTITY_TYPES.values()}
    assert prefixed == {"B-Nh", "B-Ns", "B-Ni"} <= set(TAGSETS["ner"])


@pytest.mark.parametrize(
    ("tag", "word", "expected"),
    [
        ("nt", "北京大学", "ni"),  # ICTCLAS nt is an organisation, LTP nt a time
        ("t", "昨天", "nt"),
        ("f", "上面", "nd"),
        ("eng", "NBA", "ws"),
        ("uj", "的", "u"),
        ("x", "，", "wp"),
        ("x", "😀", "wp"),
        ("x", "12", "m"),
        ("x", "C3", "ws"),
        ("x", "が", "ws"),
        ("x", "𠮷", "n"),
        ("vxyz", "去", "v"),  # an unknown subclass falls back to its class
        ("?", "去", "n"),
    ],
)
def test_ictclas(tag: str, word: str, expected: str) -> None:
    assert ictclas_pos(tag, word) == expected


def test_labels_that_only_ltp_documents_are_replaced() -> None:
    assert [ltp_pos(tag, word) for tag, word in (("g", "甥"), ("x", "e.V"), ("x", "彳亍"))] == [
        "n",
        "ws",
        "n",
    ]
    assert ltp_pos("v", "去") == "v"
    assert ltp_dep("IS", "wp") == "WP"
    assert ltp_dep("IS", "v") == "COO"
    assert ltp_dep("SBV", None) == "SBV"
