"""Families of encoders: what BERT, ELECTRA, ALBERT and DistilBERT call the same parts in a folder.

Inside hanmo every encoder has BERT's names, under "bert."; a family says what they are in
transformers' files, and what its `config.json` has beside BERT's numbers.

    FAMILIES["electra"].on_disk("bert.encoder.layer.0.…")   # electra.encoder.layer.0.…
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

_LAYER = "bert.encoder.layer.0."
_ALBERT_LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0."
_MOST_LAYERS = 48  # renames are beginnings of names, so each layer has its own
_DISTILBERT = "distilbert.transformer.layer."
_DISTILBERT_LAYER = {
    "attention.self.query.": "attention.q_lin.",
    "attention.self.key.": "attention.k_lin.",
    "attention.self.value.": "attention.v_lin.",
    "attention.output.dense.": "attention.out_lin.",
    "attention.output.LayerNorm.": "sa_layer_norm.",
    "intermediate.dense.": "ffn.lin1.",
    "output.dense.": "ffn.lin2.",
    "output.LayerNorm.": "output_layer_norm.",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One family.

    Attributes:
        title: how class names of transformers begin.
        prefix: of the encoder's weights in a model folder.
        names: ours → transformers', as beginnings of names; the longest that fits counts.
        config: further entries of `config.json`.
        keys: entries of `config.json` that have other names there: ours → transformers'.
        factorised: embeddings may be narrower than the layers.
        shares_layers: all layers are one, and a projection always leads to it.
        pooler: activation behind the pooler.
        discriminates: transformers has a head that judges pieces for it.
        segments: it tells the segments of a sequence apart.
    """

    title: str
    prefix: str
    names: Mapping[str, str]
    config: Mapping[str, Any]
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    factorised: bool = True
    shares_layers: bool = False
    pooler: str = "tanh"
    discriminates: bool = False
    segments: bool = True

    def on_disk(self, name: str) -> str:
        """Our name → transformers'."""
        return _renamed(name, self.names)

    def ours(self, name: str) -> str:
        """Transformers' name → ours."""
        return _renamed(name, {theirs: own for own, theirs in self.names.items()})


FAMILIES: Mapping[str, Family] = {
    "bert": Family("Bert", "bert.", {}, {"position_embedding_type": "absolute"}, factorised=False),
    "electra": Family(
        "Electra",
        "electra.",
        {
            "bert.": "electra.",
            # transformers classifies by a layer of its own on [CLS], which stands for a pooler.
            "bert.pooler.dense.": "classifier.dense.",
            "classifier.": "classifier.out_proj.",
            "cls.predictions.transform.": "generator_predictions.",
            "cls.predictions.bias": "generator_lm_head.bias",
        },
        {
            "position_embedding_type": "absolute",
            "summary_type": "first",
            "summary_use_proj": True,
            "summary_activation": "gelu",
            "summary_last_dropout": 0.1,
        },
        pooler="gelu",
        discriminates=True,
    ),
    "albert": Family(
        "Albert",
        "albert.",
        {
            "bert.": "albert.",
            "bert.embeddings_project.": "albert.encoder.embedding_hidden_mapping_in.",
            f"{_LAYER}attention.self.query.": f"{_ALBERT_LAYER}attention.query.",
            f"{_LAYER}attention.self.key.": f"{_ALBERT_LAYER}attention.key.",
            f"{_LAYER}attention.self.value.": f"{_ALBERT_LAYER}attention.value.",
            f"{_LAYER}attention.output.dense.": f"{_ALBERT_LAYER}attention.dense.",
            f"{_LAYER}attention.output.LayerNorm.": f"{_ALBERT_LAYER}attention.LayerNorm.",
            f"{_LAYER}intermediate.dense.": f"{_ALBERT_LAYER}ffn.",
            f"{_LAYER}output.dense.": f"{_ALBERT_LAYER}ffn_output.",
            f"{_LAYER}output.LayerNorm.": f"{_ALBERT_LAYER}full_layer_layer_norm.",
            "bert.pooler.dense.": "albert.pooler.",
            "cls.predictions.transform.": "predictions.",
            "cls.predictions.bias": "predictions.bias",
            "cls.seq_relationship.": "sop_classifier.classifier.",
        },
        {
            "position_embedding_type": "absolute",
            "num_hidden_groups": 1,
            "inner_group_num": 1,
            "classifier_dropout_prob": 0.1,
        },
        shares_layers=True,
    ),
    "distilbert": Family(
        "DistilBert",
        "distilbert.",
        {
            "bert.": "distilbert.",
            **{
                f"bert.encoder.layer.{number}.{own}": f"{_DISTILBERT}{number}.{theirs}"
                for number in range(_MOST_LAYERS)
                for own, theirs in _DISTILBERT_LAYER.items()
            },
            "bert.pooler.dense.": "pre_classifier.",
            "cls.predictions.transform.dense.": "vocab_transform.",
            "cls.predictions.transform.LayerNorm.": "vocab_layer_norm.",
            "cls.predictions.bias": "vocab_projector.bias",
        },
        {"sinusoidal_pos_embds": False},
        keys={
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
            "hidden_dropout_prob": "dropout",
            "attention_probs_dropout_prob": "attention_dropout",
        },
        factorised=False,
        pooler="relu",
        segments=False,
    ),
}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    found = max((old for old in names if name.startswith(old)), key=len, default=None)
    return name if found is None else names[found] + name.removeprefix(found)
