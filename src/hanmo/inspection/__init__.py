"""Looking at data: documents with their words and labels, a masked example, and statistics."""
