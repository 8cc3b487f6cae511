"""The standard deviations of q(z | x) and of a Gaussian p(x | z), kept within bounds."""

from __future__ import annotations

from typing import ClassVar

from nice_np.bijectors.scales import TanhScale


class LogSigma(TanhScale):
    """log sigma = B tanh(r / B), B = 5: sigma stays within (0.007, 148).

    Without a bound a decoder that reproduces one feature exactly, such as a pixel that is always black, could let its
    sigma fall to 0 and the bound grow without end, and say nothing about all the others.
    """

    bound: ClassVar[float] = 5.0
