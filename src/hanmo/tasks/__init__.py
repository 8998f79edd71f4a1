"""Level 4: fine-tuning tasks as values, readers and metrics; `kinds` says how to solve them."""
