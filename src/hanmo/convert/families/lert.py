"""LERT: BERT with three linguistic heads beside the masked-LM head's output (facts/01)."""

from hanmo.annotate.tagsets import TAGSETS
from hanmo.convert.names import Layout, dense, embeddings, heads, layer

LAYOUT = Layout(
    title="LERT",
    family="bert",
    marks=("bert/embeddings/word_embeddings",),
    tells=tuple(f"cls/predictions/output_{name}_layer/kernel" for name in TAGSETS),
    rules=(
        *embeddings("bert/embeddings", "bert.embeddings"),
        *layer("bert/encoder/layer_{i}", "bert.encoder.layer.{i}"),
        *heads(),
        *(
            rule
            for name in TAGSETS
            for rule in dense(f"cls/predictions/output_{name}_layer", f"tags.{name}")
        ),
    ),
    configs=("lert_config.json",),
    checkpoint="lert_model.ckpt",
    layers=TAGSETS,
    source="ymcui/LERT, src/modeling.py and src/run_pretraining.py",
)
