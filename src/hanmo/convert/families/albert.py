"""Google's ALBERT: one layer for all, factorised embeddings (facts/05)."""

from hanmo.convert.names import Layout, dense, embeddings, heads, norm

_GROUP = "bert/encoder/transformer/group_0/inner_group_0"
_LAYER = "bert.encoder.layer.0"

LAYOUT = Layout(
    title="ALBERT",
    family="albert",
    marks=(
        "bert/embeddings/word_embeddings",
        "bert/encoder/embedding_hidden_mapping_in/kernel",
    ),
    rules=(
        *embeddings("bert/embeddings", "bert.embeddings"),
        *dense("bert/encoder/embedding_hidden_mapping_in", "bert.embeddings_project"),
        *(
            rule
            for part in ("query", "key", "value")
            for rule in dense(
                f"{_GROUP}/attention_1/self/{part}", f"{_LAYER}.attention.self.{part}"
            )
        ),
        *dense(f"{_GROUP}/attention_1/output/dense", f"{_LAYER}.attention.output.dense"),
        *norm(f"{_GROUP}/LayerNorm", f"{_LAYER}.attention.output.LayerNorm"),
        *dense(f"{_GROUP}/ffn_1/intermediate/dense", f"{_LAYER}.intermediate.dense"),
        *dense(f"{_GROUP}/ffn_1/intermediate/output/dense", f"{_LAYER}.output.dense"),
        *norm(f"{_GROUP}/LayerNorm_1", f"{_LAYER}.output.LayerNorm"),
        *heads(),
    ),
    configs=("albert_config.json", "config.json"),
    checkpoint="model.ckpt-best",
    activations={"gelu": "gelu_new"},
    source="google-research/albert, modeling.py and run_pretraining.py",
)
