"""Level 4: pre-training objectives, one file each; `_objective.py` holds their contract.

A file `x.py` here, or anywhere as `--objective path/to/x.py`, becomes `--objective x`.
"""
