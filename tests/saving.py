"""Whether a process that was killed was inside a save: `watched()` in the parent, before it forks."""

import mmap

from nice_np.files import atomic


def watched():
    """Memory shared with children whose first byte is 1 while they write a file, from its opening to its renaming."""
    inside = mmap.mmap(-1, 1)
    open_temporary, flush_folder = atomic._open_temporary, atomic._flush_folder

    def opened(*args):
        inside[0] = 1
        return open_temporary(*args)

    def renamed(folder):
        inside[0] = 0
        flush_folder(folder)

    atomic._open_temporary, atomic._flush_folder = opened, renamed
    return inside
