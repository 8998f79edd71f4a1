"""Making a model smaller: layers, attention heads, feed-forward neurons, vocabulary."""
