"""Checkpoints and records of other programs, read and written without those programs."""
