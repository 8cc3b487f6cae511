"""Parameters: layers own ordinary arrays, and a model packs them all into one vector.

Read `module` first (what a layer declares, the rule for gradients), then `flat` (the vector) and `packed` (a model);
`search` finds arrays and gradients in any object.
"""

from nice_np.parameters.flat import FlatParameters, Slot
from nice_np.parameters.module import Module, run_backward
from nice_np.parameters.packed import Packed

__all__ = ["FlatParameters", "Module", "Packed", "Slot", "run_backward"]
