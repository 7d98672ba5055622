"""Several finished compact models joined to one network, which answers with the mean of their logits.

Networks that were trained from other seeds err in part on other pictures, so their mean errs less than each of them
(Dietterich 2000, "Ensemble methods in machine learning"). The members stand side by side in one network with one last
layer: whatever works on one compact model, works on the ensemble.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd

from fer_utils.common.errors import UserError
from fer_utils.common.stored_weights import SHIPPED
from fer_utils.dataset import FerDataset, split_validation
from fer_utils.models.compact_cnn import compact_cnn, member_prefix
from fer_utils.records.chosen import reference
from fer_utils.training.run_files import METRICS_FILE, TrainedRun
from workshop.model.finish import Finished
from workshop.model.start import Start

# What a record of the ensemble says of each member.
TOLD = ("seed", "steps", "batch_size", "learning_rate", "decay_from", "weight_decay", "start", "teacher", "trust")


class Member:
    """A finished model that becomes part of an ensemble.

    Args:
        where: "shipped", or the folder of a finished run.

    Raises:
        UserError: if the model or the record of its training is missing, or it is an ensemble already.
    """

    def __init__(self, where: str | Path):
        self.finished = Start(where)
        if self.finished.about["network"].get("members", 1) > 1:
            raise UserError(f"{where} is an ensemble already: name its members")
        if str(where) == SHIPPED:
            self.record = reference("compact")
        else:
            path = Path(where) / METRICS_FILE
            self.record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if self.record is None:
            raise UserError(f"{where} has no {METRICS_FILE}, which says how it was trained")

    @property
    def told(self) -> dict:
        """What a record of the ensemble says of the member."""
        settings = {name: self.record["settings"].get(name) for name in TOLD}
        return settings | {name: self.record[name] for name in ("epochs", "seconds")}


@dataclasses.dataclass(frozen=True)
class _Trainings(TrainedRun):
    """The members' trainings as one; the history is the last member's."""

    members: list[Member]

    @property
    def epochs(self) -> int:
        return sum(member.record["epochs"] for member in self.members)

    @property
    def best_epoch(self) -> int:
        return self.epochs

    @property
    def seconds(self) -> float:
        return sum(member.record["seconds"] for member in self.members)


def joined(networks: list, sizes: dict):
    """Return one `compact_cnn` that answers with the mean of the logits of several.

    Args:
        networks: built with `normalisation=False`.
        sizes: the arguments of `compact_cnn` that describe each of them.
    """
    ensemble = compact_cnn(**sizes, normalisation=False, members=len(networks))
    for index, network in enumerate(networks):
        for layer in network.layers:
            if layer.name.endswith("_conv"):
                ensemble.get_layer(member_prefix(index) + layer.name).set_weights(layer.get_weights())
    last = [network.get_layer("probabilities").get_weights() for network in networks]
    kernel = np.concatenate([kernel for kernel, _ in last]) / len(networks)
    ensemble.get_layer("probabilities").set_weights([kernel, np.mean([bias for _, bias in last], axis=0)])
    return ensemble


def common_division(starts: list[Start], dataset: FerDataset) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows of `Training` finished models learned from, and which all of them held out: int64 (n,) each.

    Args:
        starts: finished models, single ones or ensembles.
        dataset: what they were trained on.

    Raises:
        UserError: if they held out different pictures or none, or were trained on other data.
    """
    division, *others = (start.division for start in starts)
    if any(other != division for other in others):
        raise UserError("the members held out different pictures: train them with the same seed and --validation")
    if not division["validation_split"]:
        raise UserError("nothing was held out from the members, so an ensemble of them cannot be calibrated")
    learned, held = split_validation(*dataset.subset("Training"), division["validation_split"], division["split_seed"])
    for start in starts:
        if (start.about["data_fingerprint"], start.about["n_training"]) != (dataset.fingerprint, len(learned)):
            raise UserError("a member was trained on other pictures: name the data it was trained on with --data")
    return learned, held


def ensemble_of(members: list[Member], dataset: FerDataset, folder: str | Path) -> Finished:
    """Join finished models, ready for `finish.publish`.

    Args:
        members: at least two; each is calibrated, so that none speaks louder than it should.
        dataset: what they were trained on.
        folder: takes the record; created if missing.

    Raises:
        UserError: if the members differ in size, in what they were trained on, or in what they held out.
    """
    starts = [member.finished for member in members]
    first, *others = starts
    if not others:
        raise UserError("an ensemble has at least two members: repeat --member")
    sizes, division = first.about["network"], first.division
    if any(other.about["network"] != sizes for other in others):
        raise UserError("the members have different sizes: train them with the same --width")
    learned, held = common_division(starts, dataset)
    images, labels = dataset.subset("Training")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    last = members[-1].record
    history = pd.DataFrame(last["history"])
    history.index = pd.RangeIndex(1, len(history) + 1, name="measurement")
    network = joined([start.plain for start in starts], sizes)
    about = {
        "network": sizes | {"members": len(members)},
        "seed": last["settings"]["seed"],
        **division,
        "start": None,
        "steps": sum(member.record["settings"]["steps"] for member in members),
    }
    settings = {
        "seed": about["seed"],
        "steps": about["steps"],
        "dtype": last["settings"]["dtype"],
        "validation_split": division["validation_split"],
        "trained": [member.told for member in members],
    }
    run = _Trainings(network, history, folder, members)
    parts = ((images[rows], np.asarray(labels)[rows]) for rows in (learned, held))
    return Finished(network, *parts, about, settings, run)
