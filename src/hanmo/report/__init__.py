"""Level 5: runs' metrics to tables beside the published figures, and plots (no torch)."""
