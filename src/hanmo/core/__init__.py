"""Level 0: what every stage needs and no stage owns (files, folders, seeds, tasks, logs)."""
