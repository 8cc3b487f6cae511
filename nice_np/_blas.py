"""Imported before NumPy: how long the threads of its BLAS wait for work before they sleep.

Between two products OpenBLAS's threads wait awake, for 2^26 ticks of the clock, some 25 ms, so that the next product
finds them at once, and for so long they take their cores from everything else: from the threads that update the
parameters, and from any other program.  The products of a training step come sooner after each other than 2^20 ticks,
half a millisecond, and this is what is asked for here.  A value that is set already stays; where NumPy was imported
first it is too late, and the threads wait as ever.
"""

import os

os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
