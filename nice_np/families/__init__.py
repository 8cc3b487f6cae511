"""The relatives of NICE: one file a family, each a bijector on the contract of `nice_np.bijectors`.

Read `implicit` first: inverses that no formula gives.
"""
