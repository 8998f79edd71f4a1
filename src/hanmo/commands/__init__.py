"""Level 6: the verbs of the command line, one file each: a `Config` and a `run(config)`."""
