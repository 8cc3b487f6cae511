"""Variational inference: a flow learns a density that is known up to a constant, such as a posterior.

Start with `reverse_kl`, the loss and its gradient.  `importance` says how good the result is, and corrects it.
`targets` has densities to try it on, `posteriors` those of two models with data.
"""

from nice_np.inference.importance import WeightedSample, importance_sample
from nice_np.inference.posteriors import EightSchools, LogisticRegression
from nice_np.inference.reverse_kl import ReverseKL, fit_to_density
from nice_np.inference.targets import Banana, Funnel, Mixture, Target

__all__ = [
    "Banana",
    "EightSchools",
    "Funnel",
    "LogisticRegression",
    "Mixture",
    "ReverseKL",
    "Target",
    "WeightedSample",
    "fit_to_density",
    "importance_sample",
]
