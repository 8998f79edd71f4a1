"""Distillation: students that learn from what teachers say of the same batch."""
