"""Level 2: raw files to documents: readers, cleaning, filters, exact duplicates."""
