"""Sources of similar words for MacBERT's objective, a file each: `--mac.source NAME`.

A source is a frozen dataclass `Source` with `groups(path)`, which yields (word, similar words, best
first). A word may come several times: its similar words are put together.
"""
