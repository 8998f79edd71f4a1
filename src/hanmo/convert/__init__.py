"""Checkpoints of the outside world: TensorFlow 1, Hugging Face, PaddleNLP, and hanmo's own."""
