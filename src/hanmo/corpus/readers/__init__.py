"""Readers of raw files, one file a format; the contract is in `hanmo.corpus.reading`."""
