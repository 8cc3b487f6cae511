"""Small flows in one compiled call per pass: `couplings` decides which layers qualify, `loops` has the kernels."""
