"""Annotation: sentences with words and their parts of speech, entities and relations."""
