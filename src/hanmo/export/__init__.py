"""Level 7: models → files that other runtimes open (ONNX), checked against torch."""
