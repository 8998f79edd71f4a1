"""One file for each kind of task: how examples become features and predictions."""
