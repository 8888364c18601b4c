"""Checkpoints (orbax): the whole state of a training after an epoch, in full or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..runs import from_arrays, to_arrays


class Checkpoints:
    """The latest states of one training in one folder."""

    def __init__(self, folder: str | os.PathLike[str], identity: Any):
        """Open or make the folder.

        Args:
            folder: Belongs to this training alone.
            identity: What the training depends on; a folder of another one is refused.

        Raises:
            ValueError: If the folder holds checkpoints of another training.
        """
        import orbax.checkpoint as ocp

        self._ocp = ocp
        self.folder = Path(folder).resolve()
        self.identity = identity
        # Written by this process before it goes on: what is killed later finds it whole.
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def save(self, epoch: int, tree: Any, record: dict[str, Any]) -> None:
        """Keep the arrays of a tree and a record of plain values as the state after an epoch."""
        ocp = self._ocp
        self._manager.save(
            epoch,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave(to_arrays(tree)),
                record=ocp.args.JsonSave({"identity": self.identity, **record}),
            ),
        )

    def restore(self, tree: Any) -> tuple[Any, dict[str, Any]] | None:
        """Return the latest state, arranged as `tree` is, and its record; None if there is none."""
        ocp = self._ocp
        latest = self._manager.latest_step()
        if latest is None:
            return None
        record = self._manager.restore(
            latest, args=ocp.args.Composite(record=ocp.args.JsonRestore())
        )["record"]
        if record["identity"] != self.identity:
            raise ValueError(
                f"Argument `checkpoints` must be a folder of this training, but {self.folder} "
                "holds those of another configuration, data set or seed."
            )
        stored = self._manager.restore(
            latest, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(to_arrays(tree)))
        )["arrays"]
        return from_arrays(stored, tree), record

    def close(self) -> None:
        """Finish what is being written."""
        self._manager.close()
