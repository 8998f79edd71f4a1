"""Level 4: fine-tuning tasks as values, their readers and metrics; `kinds` says how to solve them."""
