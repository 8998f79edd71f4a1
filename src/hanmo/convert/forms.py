"""Forms of a checkpoint, and the parts that it may hold, by name; light to import."""

from collections.abc import Mapping

# What `hanmo convert --to` writes.
FORMS: Mapping[str, str] = {
    "hf": "Hugging Face folder",
    "hanmo": "hanmo model folder",
    "tf1": "TensorFlow 1 checkpoint",
    "paddle": "PaddleNLP folder",
}
PARTS: Mapping[str, str] = {
    "encoder": "encoder",
    "pooler": "pooler",
    "mlm_head": "masked-LM head",
    "pair_head": "sentence-pair head",
    "replaced_head": "replaced-token head",
    "label_heads": "linguistic heads",
    "classifier": "classifier of a task",
    "span_head": "span head of a task",
    "own": "further tensors",
}
