"""TensorFlow 1's checkpoints (tensor bundles, "V2"), read and written without TensorFlow."""
