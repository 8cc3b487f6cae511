"""Model files and checkpoints without pickle.

Read `checkpoint` first, then `architecture` (modules as JSON), `npz` (arrays, every size checked) and `atomic` (files
written whole or not at all); `text` is for JSON and terminals.
"""
