"""Level 3: the encoder, its heads, what can be trained, and checkpoints on disk (torch)."""
