"""python -m nice_np is the command nice-np."""

import sys

from nice_np.cli import entry

if __name__ == "__main__":
    sys.exit(entry())
