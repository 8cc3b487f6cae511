"""Exchange with other libraries: weights of PyTorch, zuko and nflows as arrays, whole models as ONNX graphs, and
flows for a page.

Nothing here needs PyTorch; `to_onnx` and `save_onnx` need the package onnx, ``pip install "nice-np[onnx]"``.  Read
`state_dicts`, `folding` and `torch_flows` for the weights, `onnx_models`, then `onnx_layers` for the graphs, `web` for
pages.  `browser` lends NumPy the BLAS of SciPy in a browser tab.
"""

from nice_np.interop.folding import fold_standardize
from nice_np.interop.onnx_models import save_onnx, to_onnx
from nice_np.interop.state_dicts import from_state_dict, to_state_dict
from nice_np.interop.web import save_web, to_web

__all__ = ["fold_standardize", "from_state_dict", "save_onnx", "save_web", "to_onnx", "to_state_dict", "to_web"]
