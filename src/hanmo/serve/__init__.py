"""Level 7: models behind HTTP: dynamic batching, limits, metrics, and a page for people.

app imports gate, schemas, models, batcher and metrics; gate and batcher import metrics and
problems.
"""
