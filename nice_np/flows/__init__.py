"""A flow is a prior and a bijector: its likelihood, its samples, its gradient.

Read `priors` first, then `flow`, then `builders` for the papers' models; `conditional` puts a label beside the data;
`other_priors` and `mixtures` are learned.
"""
