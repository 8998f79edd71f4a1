"""`python -m hanmo` is the same as the `hanmo` command."""

from hanmo.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
