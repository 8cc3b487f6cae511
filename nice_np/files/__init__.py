"""Model files and checkpoints without pickle.

Read `checkpoint` first, then `architecture` (modules as JSON) and `npz` (arrays, every size checked).
"""
