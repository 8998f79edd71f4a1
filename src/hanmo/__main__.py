"""`python -m hanmo` is the same as the `hanmo` command."""

import os
import sys

from hanmo.cli import main
from hanmo.core import ranks

if __name__ == "__main__":
    code = main()
    if ranks.world() > 1:
        # Threads of torch's communication now and then outlive the interpreter, whose end then
        # aborts a process that had done its work ("terminate called without an active exception").
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)
