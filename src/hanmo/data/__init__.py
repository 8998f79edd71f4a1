"""Level 3, numpy only: shards of whole documents, sequences planned from them, batches."""
