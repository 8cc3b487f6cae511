"""Lossless codes: the likelihood of an integer flow as the size of a file."""

from nice_np.codec.images import compress, decompress

__all__ = ["compress", "decompress"]
