"""PaddleNLP's names of the parameters of its BERT and ELECTRA models.

Its transformer layers are Paddle's own (`self_attn.q_proj`, `linear1`, `norm1` …), whose dense
weights are [in, out]. Source: PaddleNLP, transformers/bert/modeling.py, transformers/electra/
modeling.py.
"""

from collections.abc import Mapping

from hanmo.convert.names import Rule


def _dense(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        Rule(f"{theirs}.weight", f"{ours}.weight", turned=True),
        Rule(f"{theirs}.bias", f"{ours}.bias"),
    )


def _norm(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (Rule(f"{theirs}.weight", f"{ours}.weight"), Rule(f"{theirs}.bias", f"{ours}.bias"))


def _encoder(prefix: str) -> tuple[Rule, ...]:
    tables = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    theirs, ours = f"{prefix}.encoder.layers.{{i}}", "bert.encoder.layer.{i}"
    return (
        *(
            Rule(f"{prefix}.embeddings.{table}.weight", f"bert.embeddings.{table}.weight")
            for table in tables
        ),
        *_norm(f"{prefix}.embeddings.layer_norm", "bert.embeddings.LayerNorm"),
        *_dense(f"{prefix}.embeddings_project", "bert.embeddings_project"),
        *_dense(f"{theirs}.self_attn.q_proj", f"{ours}.attention.self.query"),
        *_dense(f"{theirs}.self_attn.k_proj", f"{ours}.attention.self.key"),
        *_dense(f"{theirs}.self_attn.v_proj", f"{ours}.attention.self.value"),
        *_dense(f"{theirs}.self_attn.out_proj", f"{ours}.attention.output.dense"),
        *_norm(f"{theirs}.norm1", f"{ours}.attention.output.LayerNorm"),
        *_dense(f"{theirs}.linear1", f"{ours}.intermediate.dense"),
        *_dense(f"{theirs}.linear2", f"{ours}.output.dense"),
        *_norm(f"{theirs}.norm2", f"{ours}.output.LayerNorm"),
    )


# Family → renames.
RULES: Mapping[str, tuple[Rule, ...]] = {
    "bert": (
        *_encoder("bert"),
        *_dense("bert.pooler.dense", "bert.pooler.dense"),
        *_dense("cls.predictions.transform", "cls.predictions.transform.dense"),
        *_norm("cls.predictions.layer_norm", "cls.predictions.transform.LayerNorm"),
        Rule("cls.predictions.decoder_bias", "cls.predictions.bias"),
        *_dense("cls.seq_relationship", "cls.seq_relationship"),
    ),
    "electra": (
        *_encoder("electra"),
        *_dense("discriminator_predictions.dense", "discriminator_predictions.dense"),
        *_dense(
            "discriminator_predictions.dense_prediction",
            "discriminator_predictions.dense_prediction",
        ),
        *_dense("generator_predictions.dense", "cls.predictions.transform.dense"),
        *_norm("generator_predictions.layer_norm", "cls.predictions.transform.LayerNorm"),
        Rule("generator_lm_head_bias", "cls.predictions.bias"),
    ),
}
_CLASSIFIER = _dense("classifier", "classifier")
_SPANS = _dense("classifier", "qa_outputs")
# Class → renames of its own head: one name stands for several things.
HEADS: Mapping[str, tuple[Rule, ...]] = {
    "BertForSequenceClassification": _CLASSIFIER,
    "BertForTokenClassification": _CLASSIFIER,
    "BertForMultipleChoice": _CLASSIFIER,
    "BertForQuestionAnswering": _SPANS,
    "ElectraForSequenceClassification": (
        *_dense("classifier.dense", "bert.pooler.dense"),
        *_dense("classifier.out_proj", "classifier"),
    ),
    "ElectraForTokenClassification": _CLASSIFIER,
    "ElectraForQuestionAnswering": _SPANS,
}
# Parameters of BERT's masked-LM head that are others once more: before version 2.6, and since then.
COPIES: Mapping[str, str] = {
    "cls.predictions.decoder_weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.decoder_bias",
}
# Transformers' name of a class → PaddleNLP's.
CLASSES: Mapping[str, str] = {
    "BertModel": "BertModel",
    "BertForMaskedLM": "BertForMaskedLM",
    "BertForPreTraining": "BertForPretraining",
    "ElectraModel": "ElectraModel",
    "ElectraForMaskedLM": "ElectraGenerator",
    "ElectraForPreTraining": "ElectraDiscriminator",
    **{name: name for name in HEADS},
}
