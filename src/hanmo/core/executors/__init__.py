"""What runs a stage's tasks: processes here, a Ray cluster, a Slurm cluster. One file an engine."""
