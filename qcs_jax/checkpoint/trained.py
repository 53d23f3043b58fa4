"""From a path to the trained network that it means, or to its weights."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import os
import pathlib

import flax.traverse_util
import ml_collections

from qcs_jax.checkpoint import weights
from qcs_jax.checkpoint.description import CheckpointError, DamagedError, not_finite
from qcs_jax.config import Role, create_model, fields_with
from qcs_jax.config.validate import all_fields
from qcs_jax.evaluate import runs
from qcs_jax.models.qcs import QCS
from qcs_jax.system import datasets, extras

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"  # of a workdir
AS_NAMED, NEWEST, WHOLE = "as named", "newest", "newest that is whole"


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A network with its weights, as a checkpoint holds them.

    Attributes:
      variables: `{"params": ..., "batch_stats": ...}`, NumPy arrays.
      description: What the checkpoint says about itself, see `describe`.
      step: Number of steps that were taken.
      workdir: The run's workdir; for a file of weights a folder of its name in `runs`,
        which need not exist.
      chosen: Why it is of this step, see `choose_step`; or that the chosen one is
        damaged, and this the newest that is whole.
      in_file: Whether it is from a file of weights; then what lies in `workdir` may be
        of another network.
    """

    variables: dict
    description: dict
    step: int
    workdir: pathlib.Path
    chosen: str = AS_NAMED
    in_file: bool = False

    @classmethod
    def load(
        cls, path: str | os.PathLike, *, step: int | None = None, branch: str = ""
    ) -> Trained:
        """Reads a checkpoint, verified.

        Args:
          path: A run's workdir, its `checkpoints` folder, or one step's folder; or a
            file of weights, its folder, the name of one that comes with the package, or
            "hf:owner/name", see `weights`.
          step: Which step of a run; default what `choose_step` chooses, or the newest
            one that is whole if that is damaged, with a warning.
          branch: Read only this branch; "base" is what inference needs.

        Raises:
          CheckpointError: if there is none, it is damaged, or a number is not finite.
          UserError: if it is one of Orbax, which is not installed.
        """
        if file := weights.find(path):
            workdir = pathlib.Path("runs") / weights.name_of(path)
            trained = cls(*weights.read(file, branch=branch), workdir, in_file=True)
        else:
            directory, chosen, why = choose_step(path)
            if step is not None:
                chosen, why = step, AS_NAMED
            trained = _read_orbax(directory, chosen, why, branch)
        if wrong := not_finite(trained.variables):
            raise CheckpointError(
                f"{path}, step {trained.step}, is no network: {wrong}. Give an earlier "
                f"checkpoint of the run, or train again"
            )
        return trained

    @functools.cached_property
    def config(self) -> ml_collections.ConfigDict:
        """The configuration that it was trained with."""
        return ml_collections.ConfigDict(self.description["config"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """k names, in the order of the logits."""
        return tuple(self.description["class_names"])

    @property
    def resize(self) -> int:
        """Side of the square that images are resized to before the crop, in pixels."""
        return self.description["preprocessing"]["resize"]

    @property
    def landmarks(self) -> list | None:
        """`[4, 2]`: where landmarks are in the training images, as parts of a side.

        None if it was not measured; in earlier versions an evaluation did.
        """
        preprocessing = self.description["preprocessing"]
        if "landmarks" in preprocessing:
            return preprocessing["landmarks"]
        return (self.evaluation or {}).get("landmarks")

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the base branch, how images are prepared, and the classes."""
        fields = all_fields(self.description["config"])
        names = (*fields_with(Role.NETWORK), *fields_with(Role.INPUT))
        values = {name: fields[name] for name in names}
        base = {kind: {"base": tree["base"]} for kind, tree in self.variables.items()}
        arrays = flax.traverse_util.flatten_dict(base, sep="/")
        text = json.dumps([values, self.class_names], sort_keys=True)
        return weights.digest(arrays, text)

    @functools.cached_property
    def evaluation(self) -> dict | None:
        """What an evaluation of this network measured, see `evaluate.results`."""
        if measured := self.description.get("evaluation"):
            return measured
        digests = self._metrics.get("fingerprint")
        network = digests.get("network") if isinstance(digests, dict) else None
        # Nothing is hashed where the step tells, or an earlier version has not told.
        same = network and self._metrics.get("step") == self.step
        return self._metrics if same and network == self.digest else None

    @property
    def doubt(self) -> str:
        """Says why an evaluation that lies in the workdir is not used; else ""."""
        if self.evaluation or not self._metrics:
            return ""
        return (
            f"{self.workdir / runs.METRICS_FILE} is about other weights, or of a "
            f"version that did not say about which: evaluate again"
        )

    @functools.cached_property
    def _metrics(self) -> dict:
        """The content of the file of the run's last evaluation, of any network."""
        if self.in_file:
            return {}
        return runs.read_json(self.workdir / runs.METRICS_FILE)

    @property
    def drawn(self) -> bool:
        """Whether it was trained on drawings, not on photographs."""
        data_set = datasets.find(self.config.data.name)
        return data_set is not None and data_set.drawn

    @functools.cached_property
    def model(self) -> QCS:
        """The network; CheckpointError for a backbone alone, which is none."""
        if not self.class_names:
            raise CheckpointError(
                f"{self.config.name} is a backbone alone, which cannot predict: "
                f"training starts from it, with --config.init_from"
            )
        return create_model(self.config, len(self.class_names))


def load_variables(
    path: str | os.PathLike, *, step: int | None = None, branch: str = ""
) -> tuple[dict, dict, int]:
    """Returns variables, description and step of a checkpoint, see `Trained.load`."""
    trained = Trained.load(path, step=step, branch=branch)
    return trained.variables, trained.description, trained.step


def _read_orbax(directory: pathlib.Path, chosen: int, why: str, branch: str) -> Trained:
    """Reads a step; if it is damaged and was not named, the newest whole one."""
    with extras.named():  # a second to import, which files of weights do not cost
        from qcs_jax.checkpoint import storage

    with storage.open_read_only(directory) as manager:
        steps = sorted(manager.all_steps())
        if chosen not in steps:
            raise CheckpointError(
                f"{directory} has no checkpoint of step {chosen}: it has {steps}"
            )
        others = [x for x in reversed(steps) if x != chosen and why != AS_NAMED]
        for step in [chosen, *others]:
            try:
                description, shapes = storage.read_description(manager, step)
                if branch:
                    shapes = {x: {branch: tree[branch]} for x, tree in shapes.items()}
                variables = storage.read_items(manager, step, shapes)
            except DamagedError as error:
                if why == AS_NAMED:
                    raise
                logger.warning("%s", error)
                continue
            if step != chosen:
                logger.warning("step %d is used in place of step %d", step, chosen)
                why = WHOLE
            return Trained(variables, description, step, directory.parent, why)
    raise DamagedError(
        f"every checkpoint in {directory} is damaged (steps {steps}): restore it from "
        f"a backup"
    )


def choose_step(path: str | os.PathLike) -> tuple[pathlib.Path, int, str]:
    """Says which checkpoint the path of a run means: their folder, the step, and why.

    Of a run it is the one that was best on held-out images, where there were any and it
    is still there; else the newest.

    Raises:
      CheckpointError: if there is none.
    """
    path = pathlib.Path(path).resolve()
    if path.name.isdecimal() and (path / "params").is_dir():
        return path.parent, int(path.name), AS_NAMED
    directory = path / FOLDER if (path / FOLDER).is_dir() else path
    if not (steps := _steps_in(directory)):
        names = " or ".join(weights.pretrained())
        raise CheckpointError(
            f"no checkpoint at {path}: give the workdir of a run, its {FOLDER} folder, "
            f"the folder of one step, or a file of weights{names and ', or ' + names}"
        )
    scores = runs.read_scores(directory.parent)
    ends = {name: line["step"] for name, line in scores.items()}
    if (best := ends.get(runs.BEST_ON_HELD_OUT)) in steps:
        return directory, best, runs.BEST_ON_HELD_OUT
    newest = max(steps)
    return directory, newest, runs.LAST if ends.get(runs.LAST) == newest else NEWEST


def newest_step(workdir: str | os.PathLike) -> int | None:
    """The step of a run's newest checkpoint, or None if it has none."""
    return max(_steps_in(pathlib.Path(workdir) / FOLDER), default=None)


def _steps_in(directory: pathlib.Path) -> list[int]:
    paths = directory.iterdir() if directory.is_dir() else ()
    return [int(path.name) for path in paths if path.name.isdecimal()]
