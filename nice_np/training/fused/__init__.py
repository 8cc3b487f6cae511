"""Small flows in one compiled call a pass: `couplings` decides which layers qualify, `loops` has the kernels."""
