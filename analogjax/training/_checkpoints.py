"""Checkpoints (orbax): the whole state of a training after an epoch, in full or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..runs import arrays_from_first, from_arrays, from_first, is_first, several, to_arrays


class Checkpoints:
    """The latest states of one training in one folder.

    Of a job of several processes the first one writes and reads; the others are told.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: Any):
        """Open or make the folder.

        Args:
            folder: Belongs to this training alone.
            identity: What the training depends on; a folder of another one is refused.

        Raises:
            ValueError: If the folder holds checkpoints of another training.
        """
        self.folder = Path(folder).resolve()
        self.identity = identity
        self._manager = None
        if not is_first():
            return
        import orbax.checkpoint as ocp

        self._ocp = ocp
        # Written by this process before it goes on: what is killed later finds it whole.
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        if several():
            # Orbax would wait for the other processes. This way it does not make the folder.
            options.multiprocessing_options = ocp.options.MultiprocessingOptions(
                primary_host=0, active_processes={0}, barrier_sync_key_prefix="first"
            )
            options.create = False
            self.folder.mkdir(parents=True, exist_ok=True)
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def save(self, epoch: int, tree: Any, record: dict[str, Any]) -> None:
        """Keep the arrays of a tree and a record of plain values as the state after an epoch."""
        if self._manager is None:
            return
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
        latest = None if self._manager is None else self._manager.latest_step()
        text = None
        if latest is not None:
            text = json.dumps(self._read(latest, record=self._ocp.args.JsonRestore())).encode()
        text = from_first(text)
        if text is None:
            return None
        record = json.loads(text)
        if record["identity"] != self.identity:
            raise ValueError(
                f"Argument `checkpoints` must be a folder of this training, but {self.folder} "
                "holds those of another configuration, data set, seed or version of jax."
            )
        arrays = None
        if latest is not None:
            arrays = self._read(latest, arrays=self._ocp.args.StandardRestore(to_arrays(tree)))
        return from_arrays(arrays_from_first(arrays), tree), record

    def _read(self, step: int, **item: Any) -> Any:
        assert self._manager is not None
        (name,) = item
        return self._manager.restore(step, args=self._ocp.args.Composite(**item))[name]

    def close(self) -> None:
        """Finish what is being written."""
        if self._manager is not None:
            self._manager.close()
