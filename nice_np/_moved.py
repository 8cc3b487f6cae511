"""Modules by the names that they had before the rooms: ``import nice_np.optim`` gives `nice_np.training.optim`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

ROOMS = {
    "checks": "gradcheck=gradients mapcheck=maps jacobian small_models",
    "files": "npz architecture checkpoint",
    "flows": "base_model=model flow priors models=builders conditional",
    "networks": "mlp convnet convolution activations",
    "pixels": "dequantize binarize",
    "datasets": "image_files",
    "playground": "play=one_unit",
    "restoration": "operators",
    "runs": "presets figures report finished",
    "training": "training_loop=loop training_plan=plan training_state=state training_data=data optim history progress "
    "signals parallel ranks tensorboard fused",
}
MOVED = {
    f"nice_np.{old}": f"nice_np.{room}.{new or old}"
    for room, names in ROOMS.items()
    for old, _, new in (name.partition("=") for name in names.split())
}


class OldNames:
    """Answers an old name with the module of today; there is one module under both names.

    A finder and a loader, though not by inheritance: importing `importlib.abc` would take half the time of nice_np.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, cast("Loader", self)) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(MOVED[spec.name])
        spec.loader_state = module.__spec__  # the import system is about to write its own there
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


sys.meta_path.append(OldNames())
