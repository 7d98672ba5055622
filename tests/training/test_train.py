"""Training goes on where it stopped, and keeps the best epoch."""

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fer_utils import training
from fer_utils.common.errors import UserError
from fer_utils.training import callbacks, run_files
from fer_utils.training.identity import describe_run

train_module = sys.modules["fer_utils.training.train"]


@pytest.fixture
def fit(tiny_data, tiny_model, tmp_path):
    images, labels = tiny_data
    parts = ((images[:105], labels[:105]), (images[105:], labels[105:]))

    def run(epochs, model=None, **changes):
        arguments = dict(name="run", output_dir=tmp_path, epochs=epochs, batch_size=32, seed=1)
        return training.train(model or tiny_model(), *parts, **{**arguments, **changes})

    return run


def saved_history(tmp_path):
    return json.loads((tmp_path / "run" / "history.json").read_text())


def test_it_learns_and_leaves_everything_behind(fit, tmp_path):
    result = fit(8)
    assert len(result.history) == 8 and result.history.index[0] == 1
    assert result.history["accuracy"].iloc[-1] > result.history["accuracy"].iloc[0]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= set(result.history.columns)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        ".lock",
        "checkpoint.npz",
        "model.keras",
        "history.json",
        "settings.json",
    }
    assert result.seconds == pytest.approx(sum(row["seconds"] for row in saved_history(tmp_path)))


def test_finished_run_is_loaded_not_repeated(fit, capsys):
    first = fit(2)
    again = fit(2)
    assert "loaded instead of trained again" in capsys.readouterr().out
    assert again.history.equals(first.history)
    for ours, theirs in zip(again.model.get_weights(), first.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_interrupted_run_goes_on(fit, tmp_path, monkeypatch, capsys):
    progress = callbacks.progress

    def dies_in_epoch_3(bar, epochs):
        callback = progress(bar, epochs)
        begin = callback.on_epoch_begin

        def on_epoch_begin(epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt
            begin(epoch, logs)

        callback.on_epoch_begin = on_epoch_begin
        return callback

    monkeypatch.setattr(callbacks, "progress", dies_in_epoch_3)
    with pytest.raises(KeyboardInterrupt):
        fit(4)
    before = saved_history(tmp_path)
    assert len(before) == 2
    monkeypatch.setattr(callbacks, "progress", progress)
    result = fit(4)
    assert "going on after epoch 2 of 4" in capsys.readouterr().out
    assert len(result.history) == 4
    assert saved_history(tmp_path)[:2] == before


@pytest.mark.parametrize("change", [{"seed": 2}, {"batch_size": 16}, {"settings": {"data": "other"}}])
def test_other_settings_start_anew(fit, change):
    fit(2)
    assert len(fit(1, **change).history) == 1


def test_the_same_training_under_another_name_is_taken_over(fit, tmp_path, capsys):
    first = fit(2)
    again = fit(2, name="other")
    out = capsys.readouterr().out
    assert "other: the same training was done as run" in out and "loaded instead of trained" in out
    assert again.history.equals(first.history) and again.folder == tmp_path / "other"
    # Each goes its own way from there.
    assert len(fit(3, name="other").history) == 3
    assert len(saved_history(tmp_path)) == 2


@pytest.mark.parametrize("change", [dict(epochs=1), dict(epochs=3), dict(seed=2), dict(settings={"data": "other"})])
def test_another_training_or_one_that_is_not_done_is_not_taken_over(fit, tmp_path, capsys, change):
    fit(2)
    fit(**{"epochs": 2, "name": "other", **change})
    assert "taken from there" not in capsys.readouterr().out


def test_damaged_run_beside_is_left_alone(fit, tmp_path, capsys):
    fit(2)
    (tmp_path / "run" / "model.keras").unlink()
    assert len(fit(2, name="other").history) == 2
    assert "taken from there" not in capsys.readouterr().out


def test_other_network_or_learning_rate_starts_anew(fit, tiny_model):
    fit(2)
    assert len(fit(1, model=tiny_model(learning_rate=0.5)).history) == 1


@pytest.fixture
def identity(tiny_data):
    """A function that describes the training of a network of the series, with something changed."""
    from fer_utils.models.custom_cnn import custom_cnn
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    images, labels = tiny_data

    def describe(images=images, labels=labels, loss="sparse_categorical_crossentropy", rate=0.001, l2=0.01, model=None):
        model = model or custom_cnn(l2=l2, width=0.05)
        model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        return describe_run(model, (images, labels), (images, labels), 32, 1, None, {"data": "x"})

    return describe


def test_the_same_training_is_recognised_when_it_is_built_again(identity, tmp_path):
    from fer_utils.models.augmentation import with_augmentation
    from fer_utils.models.custom_cnn import custom_cnn
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()

    def nameless():
        layers = keras.layers
        inside = keras.Sequential([keras.Input((48, 48, 1)), layers.Conv2D(2, 3), layers.Flatten()])
        inputs = keras.Input((48, 48, 1))
        x = inside(layers.Rescaling(1 / 255)(inputs))
        x = layers.TimeDistributed(layers.Dense(2))(layers.Reshape((-1, 1))(x))
        return keras.Model(inputs, layers.Dense(7, activation="softmax")(layers.Flatten()(x)))

    for build in (nameless, lambda: custom_cnn(width=0.05), lambda: with_augmentation(custom_cnn(width=0.05), seed=0)):
        first = identity(model=build())
        assert identity(model=build()) == first
        build().save(tmp_path / "m.keras")
        assert identity(model=keras.models.load_model(tmp_path / "m.keras")) == first


def test_the_same_training_is_recognised_in_another_process(tmp_path):
    # As notebook 4 takes over what notebook 3 did: another kernel, in which Keras has numbered other layers before.
    script = """
import sys
import numpy as np
from fer_utils import training
from fer_utils.models.keras_start import load_keras
keras = load_keras()
def build():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.AveragePooling2D(6), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((48, 48, 1)), *layers, keras.layers.Dense(7, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
for _ in range(int(sys.argv[2])):
    build()
images = np.random.default_rng(0).integers(0, 256, (70, 48, 48)).astype(np.uint8)
part = (images, np.arange(70) % 7)
training.train(build(), part, part, name=sys.argv[3], output_dir=sys.argv[1], epochs=1)
"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path), n, name], capture_output=True, text=True, check=True
        ).stdout
        for n, name in (("0", "03"), ("3", "04"), ("1", "03"))
    ]
    assert outputs[0] == "", "a fresh folder has nothing to be discarded"
    assert "04: the same training was done as 03" in outputs[1]
    assert "03: 1 finished epochs found" in outputs[2]


def test_everything_that_is_learned_from_or_with_tells_trainings_apart(identity, tiny_data):
    from fer_utils.models.custom_cnn import custom_cnn
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()
    decay = keras.optimizers.schedules.CosineDecay
    images, labels = tiny_data

    def joined(early):
        inputs = keras.Input((48, 48, 1))
        one = keras.layers.Conv2D(1, 3, padding="same")(inputs)
        two = keras.layers.Conv2D(1, 3, padding="same")(one)
        x = keras.layers.Add()([inputs if early else one, two])
        return keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(x)))

    def frozen(seed):
        keras.utils.set_random_seed(seed)
        model = custom_cnn(width=0.05)
        model.layers[2].trainable = False
        return model

    different = [
        identity(),
        identity(labels=(labels + 1) % 7),
        identity(images=images[::-1]),
        identity(labels=labels[::-1]),
        identity(loss="categorical_crossentropy"),
        identity(loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=3)),
        identity(rate=decay(1e-3, 100)),
        identity(rate=decay(1e-1, 9)),
        identity(l2=0.5),
        identity(model=joined(early=True)),
        identity(model=joined(early=False)),
        identity(model=frozen(0)),
        identity(model=frozen(1)),
    ]
    texts = [json.dumps(one, sort_keys=True) for one in different]
    assert len(set(texts)) == len(texts)


def test_starting_anew_says_so_and_leaves_no_old_scores(fit, tmp_path, capsys):
    fit(2)
    for file in ("metrics.json", "predictions.npz"):
        (tmp_path / "run" / file).write_text("old")
    capsys.readouterr()
    fit(2)
    assert (tmp_path / "run" / "metrics.json").is_file() and "discarded" not in capsys.readouterr().out
    fit(1, seed=2)
    assert capsys.readouterr().out == "run: an earlier training with other settings or data is discarded.\n"
    assert not {"metrics.json", "predictions.npz"} & {path.name for path in (tmp_path / "run").iterdir()}


def test_diverged_training_stops_and_keeps_the_epochs_before(fit, tiny_model, tmp_path, monkeypatch):
    model, progress = tiny_model(), callbacks.progress

    def spoiling(bar, epochs):
        """Spoil the weights before the third epoch."""
        callback = progress(bar, epochs)
        begin = callback.on_epoch_begin

        def on_epoch_begin(epoch, logs=None):
            begin(epoch, logs)
            if epoch == 2:
                callback.model.set_weights([np.full_like(weight, np.nan) for weight in callback.model.get_weights()])

        callback.on_epoch_begin = on_epoch_begin
        return callback

    monkeypatch.setattr(callbacks, "progress", spoiling)
    with pytest.raises(UserError, match="run: loss became nan in epoch 3.*lower the learning rate"):
        fit(5, model=model)
    assert len(saved_history(tmp_path)) == 2
    monkeypatch.setattr(callbacks, "progress", progress)
    result = fit(5)
    assert len(result.history) == 5 and np.isfinite(result.history["loss"]).all()


def test_best_epoch_is_kept_not_the_last(tiny_data, tiny_model, tmp_path):
    from fer_utils.models.predict import predict

    images, labels = tiny_data
    # Validation labels that contradict the lesson: the more is learned, the worse the score.
    contrary = (labels[105:] + 1) % 7
    parts = ((images[:105], labels[:105]), (images[105:], contrary))
    result = training.train(tiny_model(0.002), *parts, name="run", output_dir=tmp_path, epochs=8, batch_size=32)
    scores = result.history["val_accuracy"]
    assert result.best_epoch < 8 and scores.max() > scores.iloc[-1]
    accuracy = (predict(result.model, images[105:]).argmax(axis=1) == contrary).mean()
    assert accuracy == pytest.approx(scores.max(), abs=1e-5)


def test_where_saving_takes_longer_than_an_epoch_the_best_one_is_kept_all_the_same(
    tiny_data, tiny_model, tmp_path, monkeypatch
):
    from fer_utils.models.predict import predict

    saved, save = [], run_files.save_model

    def slowly(model, path):
        saved.append((path.name, len(json.loads(history.read_text())) if history.exists() else 0))
        save(model, path)
        time.sleep(2.0)

    images, labels = tiny_data
    contrary = (labels[105:] + 1) % 7
    parts = ((images[:105], labels[:105]), (images[105:], contrary))
    arguments = {"name": "run", "output_dir": tmp_path, "epochs": 8, "batch_size": 32}
    history = tmp_path / "run" / "history.json"
    monkeypatch.setattr(callbacks, "save_model", slowly)
    result = training.train(tiny_model(0.002), *parts, **arguments)
    assert 1 < result.best_epoch < 8, "a best epoch that is also the first or last is saved anyway"
    assert [name for name, _ in saved] == ["model.keras"] * 2 and saved[1][1] == 1
    assert len(saved_history(tmp_path)) == 8
    accuracy = (predict(result.model, images[105:]).argmax(axis=1) == contrary).mean()
    assert accuracy == pytest.approx(result.history["val_accuracy"].max(), abs=1e-5)


@pytest.fixture
def augmented(tiny_model):
    from fer_utils.models.augmentation import with_augmentation

    def build():
        model = with_augmentation(tiny_model(compiled=False), seed=0)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return build


def test_augmented_run_goes_on(fit, augmented, capsys):
    first = fit(1, model=augmented())
    result = fit(2, model=augmented())
    assert "going on after epoch 1 of 2" in capsys.readouterr().out
    assert len(fit(2, model=augmented()).history) == 2
    assert "loaded instead" in capsys.readouterr().out
    assert [layer.name for layer in result.model.layers] == [layer.name for layer in first.model.layers]


def test_any_keras_opens_the_model_of_an_augmented_run_even_if_it_was_killed(fit, augmented, tmp_path, monkeypatch):
    from fer_utils.models.keras_start import load_keras

    def plain(path):
        with zipfile.ZipFile(path) as archive:
            return b"fer_utils" not in archive.read("config.json")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(train_module, "read_model", die)
        fit(1, model=augmented())
    folder = tmp_path / "run"
    assert plain(folder / "model.keras")
    images = np.zeros((2, 48, 48, 1))
    expected = load_keras().models.load_model(folder / "model.keras").predict(images, verbose=0)
    result = fit(1, model=augmented())
    np.testing.assert_array_equal(result.model.predict(images, verbose=0), expected)
    assert plain(folder / "model.keras")


@pytest.fixture
def chancy():
    """A function that builds a network whose training is full of chance: augmentation, dropout, normalisation."""
    from fer_utils.models.augmentation import with_augmentation
    from fer_utils.models.keras_start import load_keras

    keras = load_keras()

    def build():
        keras.utils.set_random_seed(3)
        layers = keras.layers
        network = keras.Sequential([keras.Input((48, 48, 1)), layers.Rescaling(1 / 255), layers.AveragePooling2D(6)])
        network.add(layers.Conv2D(4, 3, activation="relu"))
        network.add(layers.BatchNormalization())
        for layer in (layers.Flatten(), layers.Dropout(0.3), layers.Dense(7, activation="softmax")):
            network.add(layer)
        model = with_augmentation(network, seed=0, strength=0.2, warm_up=10)
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return build


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(fit, chancy, monkeypatch, stopped_after):
    whole_model, resumed_model = chancy(), chancy()
    whole = fit(5, model=whole_model, name="whole")
    progress = callbacks.progress

    def dying(bar, epochs):
        callback = progress(bar, epochs)

        def on_train_batch_begin(batch, logs=None):
            if bar.n == 4 * stopped_after + 2:
                raise KeyboardInterrupt

        callback.on_train_batch_begin = on_train_batch_begin
        return callback

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(callbacks, "progress", dying)
        fit(5, model=chancy(), settings={"name": "resumed"})
    resumed = fit(5, model=resumed_model, settings={"name": "resumed"})
    assert len(resumed.history) == 5
    np.testing.assert_allclose(resumed.history["loss"], whole.history["loss"], rtol=1e-5)
    for ours, theirs in ((resumed.model, whole.model), (resumed_model, whole_model)):
        for found, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)


FLIPPED = [lambda data: data[:-30], lambda data: data[:300] + bytes([data[300] ^ 4]) + data[301:], lambda data: b""]


@pytest.mark.parametrize("file", ["checkpoint.npz", "model.keras", "history.json", "settings.json"])
@pytest.mark.parametrize("damage", FLIPPED, ids=["cut", "one bit", "empty"])
def test_damaged_run_says_so_and_begins_anew(fit, tmp_path, capsys, file, damage):
    if file.endswith("json") and damage is FLIPPED[1]:
        pytest.skip("a changed digit is another history, which nobody can tell")
    fit(2)
    path = tmp_path / "run" / file
    path.write_bytes(damage(path.read_bytes()))
    capsys.readouterr()
    assert len(fit(3).history) == 3
    out = capsys.readouterr().out
    assert f"run: {file} is damaged or missing, so this training begins anew." in out and "going on" not in out
    fit(3)
    assert "loaded instead of trained again" in capsys.readouterr().out


def test_what_is_damaged_is_found_before_the_rest_is_trained(fit, tmp_path, monkeypatch):
    fit(2)
    (tmp_path / "run" / "model.keras").write_bytes(b"")
    seen = []
    monkeypatch.setattr(callbacks, "epoch_keeper", lambda folder, network, rows: seen.append(len(rows)) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(3)
    assert seen == [0]


def test_a_checkpoint_of_another_network_changes_nothing(fit, tiny_model, chancy, tmp_path, capsys):
    fit(2, name="other", model=chancy())
    fit(2)
    (tmp_path / "other" / "checkpoint.npz").replace(tmp_path / "run" / "checkpoint.npz")
    assert len(fit(3).history) == 3
    assert "checkpoint.npz is damaged or missing" in capsys.readouterr().out


def test_two_at_once_in_one_folder_is_one_line(fit, tmp_path):
    with run_files.only_one(tmp_path / "run"):
        with pytest.raises(UserError, match="run: another training is writing into this folder: .*another name"):
            fit(1)
        assert len(fit(1, name="beside").history) == 1
    assert len(fit(1).history) == 1


def test_a_folder_that_cannot_be_made_is_one_line(fit, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write into .*choose another output_dir"):
        fit(1, output_dir=tmp_path / "file")


def test_a_stop_while_saving_leaves_the_epoch_before(fit, tmp_path, monkeypatch):
    fit(1)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    replace, files = run_files.os.replace, set()

    def noted(source, target):
        files.add(Path(target).name)
        replace(source, target)

    def dies(source, target):
        if Path(target).name == "checkpoint.npz":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(run_files.os, "replace", dies)
        fit(2)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in before} == before
    monkeypatch.setattr(run_files.os, "replace", noted)
    assert len(fit(2).history) == 2
    fit(1, name="other", settings={"of": "another one"})
    assert files == {"checkpoint.npz", "model.keras", "history.json", "settings.json"}, "whole or not there"


def test_epochs_must_be_positive(fit):
    with pytest.raises(UserError, match="EPOCHS must be at least 1"):
        fit(0)


@pytest.mark.parametrize("spoiled", [True, False])
def test_stages_are_joined_and_the_better_one_kept(tiny_data, tiny_model, tmp_path, spoiled):
    from fer_utils.models.keras_start import load_keras
    from fer_utils.models.predict import predict

    keras = load_keras()
    images, labels = tiny_data
    validation = (images[105:], labels[105:])
    fitted = (images[:105], labels[:105])
    # The second stage goes on with the very same model object, and unlearns (other labels) or learns.
    taught = (images[:105], (labels[:105] + 1) % 7) if spoiled else fitted
    shared = dict(output_dir=tmp_path, batch_size=32)
    first = training.train(
        tiny_model(0.02 if spoiled else 0.0005), fitted, validation, name="first", epochs=2, **shared
    )
    expected = first.history["val_accuracy"].max()
    first.model.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    second = training.train(first.model, taught, validation, name="second", epochs=3, **shared)
    joined = training.join_stages(first, second)
    if not spoiled:
        expected = second.history["val_accuracy"].max()
    assert joined.history.index.tolist() == [1, 2, 3, 4, 5]
    assert joined.seconds == pytest.approx(first.seconds + second.seconds)
    assert (joined.best_epoch <= 2) == spoiled
    for model in (joined.model, keras.models.load_model(joined.folder / "model.keras")):
        accuracy = (predict(model, validation[0]).argmax(axis=1) == validation[1]).mean()
        assert accuracy == pytest.approx(expected, abs=1e-5)


def test_two_stages_train_the_head_then_the_last_layers_too(tiny_data, tiny_transfer, tmp_path, capsys):
    images, labels = tiny_data
    parts = (images[:105], labels[:105]), (images[105:], labels[105:])

    def both(epochs):
        model = tiny_transfer()
        start = {layer.name: layer.get_weights()[0] for layer in model.get_layer("backbone").layers[1:]}
        runs = training.two_stages(
            model, ["late"], *parts, name="net", output_dir=tmp_path, epochs=epochs, learning_rates=(0.01, 0.01)
        )
        kept = [run.model.get_layer("backbone") for run in runs]
        same = {
            name: [np.array_equal(kernel, backbone.get_layer(name).get_weights()[0]) for backbone in kept]
            for name, kernel in start.items()
        }
        return runs, same

    (head, tail), same = both((3, 2))
    assert same == {"early": [True, True], "late": [True, False]}
    assert (head.folder.name, tail.folder.name) == ("net_head", "net")
    assert (len(head.history), len(tail.history)) == (3, 2)
    capsys.readouterr()
    both((3, 2))
    assert capsys.readouterr().out.count("loaded instead of trained again") == 2
    # A second stage after a longer first one is another training.
    both((4, 2))
    assert "net: an earlier training with other settings or data is discarded." in capsys.readouterr().out


def test_prepare_starts_the_random_numbers_and_says_the_format(monkeypatch, capsys):
    import keras

    monkeypatch.setenv("FER_PRECISION", "float32")
    drawn = []
    for _ in range(2):
        training.prepare(3)
        drawn.append(np.random.random())
    assert drawn[0] == drawn[1]
    assert keras.config.dtype_policy().name == "float32"
    assert "float32: as asked" in capsys.readouterr().out


def test_environment_names_versions_and_backend():
    found = training.environment()
    assert found["versions"]["keras"] and found["versions"][found["backend"]]


def test_cosine_rate_rises_and_falls_to_zero():
    rate = training.cosine_rate(0.1, epochs=10, n=100, batch_size=30)  # four steps an epoch
    values = np.array([float(rate(step)) for step in range(41)])
    assert values[0] == 0 and values.argmax() == 8 and values[8] == pytest.approx(0.1)
    assert (np.diff(values[:9]) > 0).all() and (np.diff(values[8:]) < 0).all()
    assert values[24] == pytest.approx(0.05, rel=1e-4) and values[40] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_short_cosine_rate_has_its_rise_too(epochs):
    rate = training.cosine_rate(0.1, epochs=epochs, n=100, batch_size=10)
    values = [float(rate(step)) for step in range(10 * epochs + 1)]
    assert np.argmax(values) == 2 * epochs and max(values) == pytest.approx(0.1)


def test_without_room_for_a_rise_the_cosine_rate_begins_at_its_highest():
    assert float(training.cosine_rate(0.1, epochs=1, n=3, batch_size=1)(0)) == pytest.approx(0.1)


def test_a_training_with_a_cosine_rate_goes_on_and_is_recognised(fit, tiny_model, capsys):
    def model():
        return tiny_model(learning_rate=training.cosine_rate(1e-3, 3, 105, 32))

    fit(1, model=model())
    whole = fit(3, model=model())
    assert "going on after epoch 1 of 3" in capsys.readouterr().out and len(whole.history) == 3
    fit(3, model=model())
    assert "loaded instead" in capsys.readouterr().out
