"""Google's BERT, as BERT-wwm, RoBERTa-wwm-ext, RBT, MacBERT and PERT are published (facts/05)."""

from hanmo.convert.names import Layout, embeddings, heads, layer

LAYOUT = Layout(
    title="BERT",
    family="bert",
    marks=("bert/embeddings/word_embeddings",),
    rules=(
        *embeddings("bert/embeddings", "bert.embeddings"),
        *layer("bert/encoder/layer_{i}", "bert.encoder.layer.{i}"),
        *heads(),
    ),
    configs=("bert_config.json",),
    checkpoint="bert_model.ckpt",
    activations={"gelu": "gelu_new"},  # its program computes the tanh form
    source="google-research/bert, modeling.py and run_pretraining.py",
)
