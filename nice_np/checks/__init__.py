"""Checks of hand-derived code by numerical differentiation: gradients, inverses and log-determinants.

Read `gradients` first, then `differences` for the central differences; `maps` and `jacobian` next, `report` and
`diagnosis` for what is printed.
"""

from nice_np.checks.gradients import GradientError, GradientReport, check_gradients
from nice_np.checks.jacobian import numerical_jacobian
from nice_np.checks.maps import check_inverse, check_log_det

__all__ = [
    "GradientError",
    "GradientReport",
    "check_gradients",
    "check_inverse",
    "check_log_det",
    "numerical_jacobian",
]
