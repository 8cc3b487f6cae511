"""Maximum likelihood by mini-batches.

Read `optim` first, then `loop`, then `fit`, which checks the arguments; the loop works on `plan`, `data` and `state`,
and `resume` continues a stopped run.  `parallel`, `ranks` and `fused` compute the same gradient, faster.
"""
