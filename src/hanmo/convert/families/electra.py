"""ELECTRA: discriminator and generator in one checkpoint, embeddings shared (facts/04)."""

from hanmo.convert.names import Layout, Rule, dense, embeddings, layer, norm

LAYOUT = Layout(
    title="ELECTRA",
    family="electra",
    marks=("electra/embeddings/word_embeddings",),
    rules=(
        *embeddings("electra/embeddings", "bert.embeddings"),
        *dense("electra/embeddings_project", "bert.embeddings_project"),
        *layer("electra/encoder/layer_{i}", "bert.encoder.layer.{i}"),
        *dense("discriminator_predictions/dense", "discriminator_predictions.dense"),
        *dense("discriminator_predictions/dense_1", "discriminator_predictions.dense_prediction"),
        *embeddings("generator/embeddings", "generator.bert.embeddings"),
        *dense("generator/embeddings_project", "generator.bert.embeddings_project"),
        *layer("generator/encoder/layer_{i}", "generator.bert.encoder.layer.{i}"),
        *dense("generator_predictions/dense", "generator.cls.predictions.transform.dense"),
        *norm("generator_predictions/LayerNorm", "generator.cls.predictions.transform.LayerNorm"),
        Rule("generator_predictions/output_bias", "generator.cls.predictions.bias"),
    ),
    configs=("discriminator_config.json", "electra_config.json"),
    checkpoint="electra_model",
    shares_embeddings=True,
    source="google-research/electra, model/modeling.py and run_pretraining.py",
)
