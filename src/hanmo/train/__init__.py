"""Level 4: one training loop, its optimisers, its device, and exact resume (torch)."""
