"""python -m nice_np is the command nice-np."""

import sys

from nice_np.cli import main

if __name__ == "__main__":
    sys.exit(main())
