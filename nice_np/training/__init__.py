"""Maximum likelihood by mini-batches.

Read `optim` first, then `loop`, then `fit`, which checks the arguments; the loop works on `plan`, `data` and `state`.
`parallel`, `ranks` and `fused` compute the same gradient, faster.
"""
