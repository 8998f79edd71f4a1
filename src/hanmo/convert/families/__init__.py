"""Layouts of TensorFlow 1 checkpoints, one file each: `LAYOUT`."""
