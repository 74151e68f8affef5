"""hpctrack's command line under cProfile, the main thread of it.

Told the file to write, without what tells two processes apart, and then the command's words.
``python -m pstats FILE`` shows it.
"""

from __future__ import annotations

import cProfile
import os
import sys

from hpctrack.cli.main import main

if __name__ == "__main__":
    target = sys.argv.pop(1)
    profile = cProfile.Profile()
    profile.enable()
    try:
        main()
    finally:
        profile.disable()
        profile.dump_stats(f"{target}-{sys.argv[1]}-{os.getpid()}.prof")
