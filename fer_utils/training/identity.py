"""Whether a run in a folder is this one, so that it may go on."""

import hashlib
import json
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fer_utils.common.files import checksum
from fer_utils.training.run_files import SETTINGS_FILE


def environment() -> dict:
    """Return what a result depends on besides its settings: versions, backend, processor."""
    import keras

    packages = {"keras": "keras", "numpy": "numpy", "opencv": "opencv-python-headless", "scikit-learn": "scikit-learn"}
    backend = keras.backend.backend()
    packages[backend] = backend
    return {
        "python": platform.python_version(),
        "backend": backend,
        "precision": keras.config.dtype_policy().name,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {name: version(package) for name, package in packages.items()},
    }


def describe_run(model, training, validation, batch_size, seed, class_weight, settings) -> dict:
    """Describe a training; two with the same description may go on from each other.

    It holds the images and labels, in their order; every layer with its settings, number format and place in the
    network; the weights of frozen layers; loss and optimizer with all their settings; and the other arguments of
    `train`. Names of layers do not count, nor the starting weights of layers that are trained, since training changes
    them in the given model.
    """
    import keras

    description = {
        "network": describe_layers(model),
        "frozen_weights": _frozen_weights(model),
        "optimizer": _nameless(keras.saving.serialize_keras_object(model.optimizer)),
        "loss": _nameless(keras.saving.serialize_keras_object(model.loss)),
        "n_training": len(training[1]),
        "n_validation": len(validation[1]),
        "images": [_content(part[0]) for part in (training, validation)],
        "labels": [_content(part[1]) for part in (training, validation)],
        "batch_size": batch_size,
        "seed": seed,
        "class_weight": {str(key): value for key, value in (class_weight or {}).items()},
        **(settings or {}),
    }
    return json.loads(json.dumps(description, default=float))


def describe_earlier(run) -> dict:
    """Return what a second stage adds to its description: which first stage it goes on from, if any."""
    if run is None:
        return {}
    earlier = (run.folder / SETTINGS_FILE).read_text(encoding="utf-8")
    return {"after": {"identity": hashlib.sha256(earlier.encode()).hexdigest()[:16], "epochs": run.epochs}}


def _content(array: np.ndarray) -> str:
    """Return what tells one set of images, features or labels from another, or from the same in another order."""
    if isinstance(array, np.memmap) and np.issubdtype(array.dtype, np.floating):
        # The file is named after everything that its features depend on.
        return f"{Path(array.filename).stem} {array.shape}"
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    digest.update(array.data)
    return digest.hexdigest()


def _frozen_weights(model) -> str:
    """Return a checksum of the weights that training does not change, such as a backbone's from ImageNet."""

    def frozen(layers):
        for layer in layers:
            if getattr(layer, "layers", None):
                yield from frozen(layer.layers)
            elif not layer.trainable:
                yield from layer.get_weights()

    return checksum(frozen(model.layers))


def describe_layers(model) -> dict:
    """Return the configuration of a model and all its layers, fit for JSON.

    A layer goes by its place in its model: Keras numbers the names that it gives anew each time.
    """
    return _without_names(model.get_config())


def _without_names(config: dict) -> dict:
    """Describe a model's configuration, and those of the models in it, with each layer's place instead of its name."""
    places = {layer["config"]["name"]: place for place, layer in enumerate(config["layers"])}

    def placed(part):
        """Replace the names in what is called with what, and in the model's inputs and outputs."""
        if isinstance(part, dict):
            return {key: placed(value) for key, value in part.items()}
        if isinstance(part, list | tuple):
            # A tensor is written as [name of the layer, which of its calls, which of its outputs].
            if len(part) == 3 and isinstance(part[0], str) and part[0] in places:
                return [places[part[0]], *part[1:]]
            return [placed(value) for value in part]
        return part

    layers = []
    for layer in config["layers"]:
        inside = layer["config"]
        inside = _without_names(inside) if "layers" in inside else {**_nameless(inside), "name": None}
        calls = placed(layer.get("inbound_nodes", []))
        layers.append({"class_name": layer["class_name"], "config": inside, "calls": calls})
    ends = {key: placed(config[key]) for key in ("input_layers", "output_layers") if key in config}
    return {"layers": layers, **ends, "trainable": config.get("trainable")}


def _nameless(part):
    """Leave out, at any depth, the names that Keras makes of a class and a running number, such as "adam_1"."""
    if isinstance(part, list | tuple):
        return [_nameless(value) for value in part]
    if not isinstance(part, dict):
        return part
    inside = part.get("config")
    name = inside.get("name") if isinstance(inside, dict) else None
    if name and re.fullmatch(rf"{re.escape(part.get('class_name', '')).lower()}\d*", str(name).replace("_", "")):
        part = {**part, "config": {key: value for key, value in inside.items() if key != "name"}}
    return {key: _nameless(value) for key, value in part.items()}
