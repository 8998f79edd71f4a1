"""Level 1: normalisation, sentences, WordPiece with character spans, alignment with words."""
