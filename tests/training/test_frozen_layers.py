"""The frozen part is computed once; the tail learns for the whole model."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from fer_utils import models, training
from fer_utils.common.errors import UserError
from fer_utils.common.paths import cache_folder
from fer_utils.models.augmentation import with_augmentation
from fer_utils.models.keras_start import load_keras
from fer_utils.models.predict import predict
from fer_utils.training import feature_store, frozen_layers
from fer_utils.training.batches import batches
from fer_utils.training.feature_store import compute
from fer_utils.training.frozen_layers import predict_frozen_once, split_frozen

keras = load_keras()
layers = keras.layers
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 48, 48)).astype(np.uint8)
COMPILED = ("sparse_categorical_crossentropy", ["accuracy"])


@pytest.fixture(scope="module")
def resnet():
    return models.load_backbone("ResNet50V2", 48, "random")[0]


@pytest.fixture(scope="module")
def vgg16():
    return models.load_backbone("VGG16", 48, "random")[0]


@pytest.fixture
def small():
    """A function that builds a network on a small residual backbone with two stages; `frozen` says how much of it."""

    def build(frozen="first stage", seed=1):
        keras.utils.set_random_seed(seed)
        inputs = keras.Input((48, 48, 1))
        x = layers.AveragePooling2D(6)(layers.Rescaling(1 / 255)(inputs))
        for stage in "ab":
            y = layers.Conv2D(8, 3, padding="same", name=f"{stage}_conv")(x)
            y = layers.BatchNormalization(name=f"{stage}_norm")(y)
            x = layers.Concatenate(name=f"{stage}_join")([x, layers.ReLU(name=f"{stage}_relu")(y)])
        backbone = keras.Model(inputs, x, name="backbone")
        backbone.trainable = frozen != "all of it"
        if frozen == "first stage":
            for layer in backbone.layers:
                layer.trainable = layer.name.startswith("b_")
        inputs = keras.Input((48, 48, 1), name="image")
        x = layers.GlobalAveragePooling2D(name="average")(backbone(inputs, training=False))
        x = layers.Dropout(0.1, name="dropout")(layers.Dense(16, activation="relu", name="dense")(x))
        model = keras.Model(inputs, models.softmax_output(x), name="small")
        loss, metrics = COMPILED
        model.compile(keras.optimizers.Adam(0.02), loss, metrics=metrics)
        return model

    return build


def check_cut(model, atol=1e-3):
    frozen, tail = split_frozen(model)
    assert not frozen.trainable_weights
    kept = compute(frozen, IMAGES, progress=False)
    assert kept.dtype == np.float16 and isinstance(kept, np.memmap)
    answer = tail.predict(np.asarray(kept, np.float32), verbose=0)
    np.testing.assert_allclose(answer, predict(model, IMAGES), atol=atol)
    ours = {id(weight) for weight in tail.trainable_weights}
    assert ours == {id(weight) for weight in model.trainable_weights}, "everything that is trained is in the tail"
    return frozen, tail


def test_vgg16_is_cut_before_its_last_three_layers(vgg16):
    model = models.vgg16_classifier(vgg16, 48)
    vgg16.trainable = True
    for layer in vgg16.layers[:-3]:
        layer.trainable = False
    frozen, tail = check_cut(model)
    assert frozen.output_shape == (None, 3, 3, 512)
    names = [layer.name for part in tail.layers for layer in getattr(part, "layers", [part])]
    assert [name for name in names if name.startswith("block")] == ["block5_conv2", "block5_conv3", "block5_pool"]


def test_frozen_backbone_takes_the_pooling_along(vgg16):
    vgg16.trainable = False
    frozen, tail = check_cut(models.vgg16_classifier(vgg16, 48))
    assert frozen.output_shape == (None, 512), "averaging has no weights: it is computed once as well"


def test_resnet_is_cut_before_its_normalisation_or_its_last_stage(resnet):
    model = models.resnet50_classifier(resnet, 48)
    resnet.trainable = False
    assert check_cut(model)[0].output_shape == (None, 2, 2, 2048)
    resnet.trainable = True
    for layer in resnet.layers:
        layer.trainable = layer.name.startswith(("conv5_", "post_"))
    assert check_cut(model)[0].output_shape == (None, 2, 2, 1024)


def test_fine_tuned_as_in_notebook_6_the_backbone_keeps_its_statistics(resnet):
    """`fit` overrides `training=False`, so only frozen normalisation stays as it is."""
    model = models.resnet50_classifier(resnet, 48)
    resnet.trainable = True
    for layer in resnet.layers:
        last = layer.name.startswith(("conv5_", "post_"))
        layer.trainable = last and not isinstance(layer, layers.BatchNormalization)
    frozen, tail = check_cut(model)
    statistics = [weight for weight in resnet.non_trainable_weights if "moving" in weight.path]
    before = [weight.numpy().copy() for weight in statistics]
    tail.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(8, *frozen.output_shape[1:]))
    tail.fit(x, np.arange(8) % 7, verbose=0)
    assert len(before) > 50
    assert all(np.array_equal(old, weight.numpy()) for old, weight in zip(before, statistics, strict=True))


def test_cut_in_bfloat16_keeps_every_digit(small):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        check_cut(small(), atol=1e-6)
    finally:
        keras.config.set_dtype_policy(before)


def test_branches_are_cut_where_they_meet(small):
    frozen, _ = check_cut(small("first stage"))
    assert frozen.output_shape == (None, 8, 8, 9), "after the concatenation, not inside a branch"


def test_sequential_model_is_refused():
    model = keras.Sequential([keras.Input((48, 48, 1)), layers.Conv2D(4, 3, trainable=False), layers.Flatten()])
    model.add(layers.Dense(7))
    with pytest.raises(UserError, match="only a functional model"):
        split_frozen(model)


def test_what_the_tail_learns_the_model_knows(small):
    model = small()
    frozen, tail = split_frozen(model)
    kept = np.asarray(compute(frozen, IMAGES, progress=False), np.float32)
    before = predict(model, IMAGES)
    tail.compile("adam", COMPILED[0])
    tail.fit(kept, np.arange(20) % 7, epochs=2, verbose=0)
    assert np.abs(predict(model, IMAGES) - before).max() > 1e-3
    np.testing.assert_allclose(tail.predict(kept, verbose=0), predict(model, IMAGES), atol=1e-3)


def test_refused_with_the_next_step(small):
    with pytest.raises(UserError, match="does not begin with frozen layers.*'a_conv' is trained"):
        split_frozen(small("nothing"))
    model = small()
    model.trainable = False
    with pytest.raises(UserError, match="every layer of this model is frozen"):
        split_frozen(model)
    with pytest.raises(UserError, match="begins with random layers.*train without augmentation"):
        split_frozen(with_augmentation(small(), seed=0))


def test_features_are_computed_once(small, monkeypatch):
    frozen, _ = split_frozen(small())
    seen, answer = [], frozen.predict_on_batch

    def counted(images):
        seen.append(len(images))
        return answer(images)

    monkeypatch.setattr(frozen, "predict_on_batch", counted)
    first = np.array(compute(frozen, IMAGES, batch_size=4, progress=False))
    assert sum(seen) == len(IMAGES) + 4, "and one batch for the range of the numbers"
    monkeypatch.setattr(feature_store, "_compute_all", lambda *_: pytest.fail("computed again"))
    again, _ = split_frozen(small())
    np.testing.assert_array_equal(compute(again, IMAGES, progress=False), first)


def test_other_pictures_weights_or_size_are_other_features(small):
    def name(images=IMAGES, **settings):
        return compute(split_frozen(small(**settings))[0], images, progress=False).filename

    changed = IMAGES.copy()
    changed[3, 20, 20] ^= 1
    names = {name(), name(changed), name(IMAGES[:10]), name(seed=2), name(frozen="all of it")}
    assert len(names) == 5 and name() in names


def test_interrupted_computation_goes_on(small, monkeypatch):
    monkeypatch.setattr(feature_store, "CHUNK_BYTES", 4 * 8 * 8 * 9 * 4)
    frozen, _ = split_frozen(small())
    expected = np.asarray(frozen.predict(IMAGES[..., None], verbose=0), np.float16)
    seen, answer = [], frozen.predict_on_batch

    def dies(images):
        seen.append(len(images))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return answer(images)

    monkeypatch.setattr(frozen, "predict_on_batch", dies)
    with pytest.raises(KeyboardInterrupt):
        compute(frozen, IMAGES, batch_size=4, progress=False)
    assert seen == [4] * 4 and not list((cache_folder() / "features").glob("*.npy"))
    np.testing.assert_allclose(compute(frozen, IMAGES, batch_size=4, progress=False), expected, atol=2e-3)
    assert len(seen) == 4 + 1 + 3, "two of five chunks were there already, one was tried for its range"
    assert [path.suffix for path in (cache_folder() / "features").iterdir() if path.suffix != ".lock"] == [".npy"]


@pytest.mark.parametrize("scale", [1e6, 1e-6])
def test_features_out_of_range_are_kept_in_float32(scale):
    inputs = keras.Input((48, 48, 1))
    frozen = keras.Model(inputs, layers.AveragePooling2D(12)(layers.Rescaling(scale)(inputs)))
    kept = compute(frozen, IMAGES, progress=False)
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept, frozen.predict(IMAGES[..., None], verbose=0), rtol=1e-6)


def test_feature_too_large_later_on_is_noticed(monkeypatch):
    monkeypatch.setattr(feature_store, "CHUNK_BYTES", 1)
    inputs = keras.Input((48, 48, 1))
    frozen = keras.Model(inputs, layers.AveragePooling2D(48)(layers.Rescaling(1000.0)(inputs)))
    images = np.zeros((12, 48, 48), np.uint8)
    images[:8], images[8:] = 1, 255
    kept = compute(frozen, images, batch_size=4, progress=False)
    assert kept.dtype == np.float32 and kept.max() == pytest.approx(255_000, rel=1e-4)


def test_too_little_room_is_said_before(small, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(feature_store.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match="the features need .* GB free: set .FER_CACHE"):
        compute(split_frozen(small())[0], IMAGES, progress=False)


def test_folder_that_cannot_be_written_is_said(small, tmp_path, monkeypatch):
    (tmp_path / "a_file").write_text("")
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "a_file"))
    with pytest.raises(UserError, match="cannot be kept in .*set .FER_CACHE"):
        compute(split_frozen(small())[0], IMAGES, progress=False)


def test_features_unused_for_longest_are_removed_first(small, monkeypatch):
    frozen, _ = split_frozen(small())
    first, second = (compute(frozen, IMAGES[:n], progress=False).filename for n in (8, 9))
    os.utime(first, (1, 1))
    monkeypatch.setattr(feature_store, "MOST_BYTES_KEPT", 3 * os.path.getsize(second) - 1)
    third = compute(frozen, IMAGES[:10], progress=False).filename
    assert [os.path.exists(path) for path in (first, second, third)] == [False, True, True]


def test_batches_cover_every_row_once_in_a_seeded_order():
    rows, labels = np.arange(10, dtype=np.float16)[:, None], np.arange(10)

    def epochs(seed, first=0, n=2):
        found = batches(rows, labels, 4, seed, first)
        for _ in range(n):
            taken = [found[i] for i in range(len(found))]
            assert [len(y) for _, y in taken] == [4, 4, 2]
            assert all((x[:, 0] == y).all() and x.dtype == np.float32 for x, y in taken)
            yield np.concatenate([y for _, y in taken]).tolist()
            found.on_epoch_end()

    first, second = epochs(seed=1)
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert list(epochs(seed=1, first=1, n=1)) == [second]
    assert list(epochs(None)) == [list(range(10))] * 2


def check_on_the_way(model, trained_later, unfreeze):
    """The features of this stage come out the same by way of the next one's, which are then there already."""
    frozen, _ = split_frozen(model)
    earlier, rest = frozen_layers.split_on_the_way(model, frozen, trained_later)
    assert not any(layer.trainable for layer in trained_later)
    direct = np.array(compute(frozen, IMAGES, progress=False))
    Path(compute(frozen, IMAGES, progress=False).filename).unlink()
    kept = compute(frozen, IMAGES, progress=False, on_the_way=(earlier, rest))
    np.testing.assert_allclose(np.float32(kept), np.float32(direct), atol=2e-3, rtol=2e-3)
    there = set((cache_folder() / "features").glob("*.npy"))
    assert len(there) == 2
    unfreeze()
    of_next_stage = compute(split_frozen(model)[0], IMAGES, progress=False)
    assert Path(of_next_stage.filename) in there - {Path(kept.filename)}


def test_features_of_the_next_stage_are_kept_on_the_way(small):
    model = small("all of it")
    backbone = model.get_layer("backbone")
    later = [layer for layer in backbone.layers if layer.name.startswith("b_")]

    def unfreeze():
        backbone.trainable = True
        for layer in backbone.layers:
            layer.trainable = layer in later

    check_on_the_way(model, later, unfreeze)


def test_features_of_notebook_5_are_kept_on_the_way(vgg16):
    vgg16.trainable = False
    model = models.vgg16_classifier(vgg16, 48)

    def unfreeze():
        vgg16.trainable = True
        for layer in vgg16.layers:
            layer.trainable = layer in vgg16.layers[-3:]

    check_on_the_way(model, vgg16.layers[-3:], unfreeze)


def test_features_of_notebook_6_are_kept_on_the_way_by_a_model_that_is_loaded(resnet, tmp_path):
    resnet.trainable = False
    model = models.resnet50_classifier(resnet, 48)
    later = [layer for layer in resnet.layers if layer.name.startswith(("conv5_", "post_"))]
    later = [layer for layer in later if not isinstance(layer, layers.BatchNormalization)]
    names = [layer.name for layer in later]
    frozen, _ = split_frozen(model)
    compute(frozen, IMAGES, progress=False, on_the_way=frozen_layers.split_on_the_way(model, frozen, later))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    backbone = loaded.get_layer("resnet50v2")
    backbone.trainable = True
    for layer in backbone.layers:
        layer.trainable = layer.name in names
    there = set((cache_folder() / "features").glob("*.npy"))
    assert Path(compute(split_frozen(loaded)[0], IMAGES, progress=False).filename) in there and len(there) == 2


def test_nothing_is_kept_on_the_way_if_the_next_stage_begins_at_the_beginning(small):
    model = small("all of it")
    frozen, _ = split_frozen(model)
    assert frozen_layers.split_on_the_way(model, frozen, model.get_layer("backbone").layers) is None
    inputs = keras.Input((48, 48, 1))
    x = layers.Flatten()(layers.Conv2D(2, 3, trainable=False)(inputs))
    flat = keras.Model(inputs, layers.Dense(7)(x))
    assert frozen_layers.split_on_the_way(flat, split_frozen(flat)[0], flat.layers[1:2]) is None


@pytest.fixture
def fit(tiny_data, small, tmp_path):
    images, labels = tiny_data
    parts = ((images[:105], labels[:105]), (images[105:], labels[105:]))

    def run(epochs, model=None, frozen_once=True, **changes):
        arguments = dict(name="run", output_dir=tmp_path, epochs=epochs, batch_size=32, seed=1)
        return training.train(model or small(), *parts, frozen_once=frozen_once, **{**arguments, **changes})

    return run


def test_training_keeps_and_returns_the_whole_model(fit, tiny_data, tmp_path, capsys):
    images, labels = tiny_data
    result = fit(6)
    assert "computed once for 140 pictures" in capsys.readouterr().out
    assert result.model.input_shape == (None, 48, 48, 1)
    assert result.history["accuracy"].iloc[-1] > result.history["accuracy"].iloc[0]
    with warnings.catch_warnings():
        # What a reader loads must not complain of an optimizer.
        warnings.simplefilter("error")
        loaded = keras.models.load_model(tmp_path / "run" / "model.keras")
    for model in (result.model, loaded):
        accuracy = (predict(model, images[105:]).argmax(axis=1) == labels[105:]).mean()
        assert accuracy == pytest.approx(result.history["val_accuracy"].max(), abs=1e-5)


def test_training_keeps_what_the_next_stage_begins_with(fit, small, capsys):
    model = small("all of it")
    later = [layer for layer in model.get_layer("backbone").layers if layer.name.startswith("b_")]
    fit(1, model, trained_later=later)
    assert "besides what a later stage begins with" in capsys.readouterr().out
    # Of both parts.
    assert len(list((cache_folder() / "features").glob("*.npy"))) == 4
    assert len(fit(1, small("all of it")).history) == 1
    assert "loaded instead of trained again" in capsys.readouterr().out


def test_training_once_and_every_epoch_learn_alike(fit, small):
    # Without shuffling differences: one batch an epoch, and no dropout.
    def model():
        plain = small()
        plain.get_layer("dropout").rate = 0
        return plain

    once = fit(5, model(), batch_size=105)
    plain = fit(5, model(), frozen_once=False, name="plain", batch_size=105)
    np.testing.assert_allclose(once.history["loss"], plain.history["loss"], rtol=5e-3)


def test_finished_run_is_loaded_and_more_epochs_go_on(fit, small, tiny_data, capsys):
    first = fit(2)
    again = fit(2)
    assert "loaded instead of trained again" in capsys.readouterr().out
    images = tiny_data[0]
    np.testing.assert_allclose(predict(again.model, images), predict(first.model, images), atol=1e-6)
    more = fit(4)
    assert "going on after epoch 2 of 4" in capsys.readouterr().out
    assert len(more.history) == 4 and more.history["loss"].iloc[:2].equals(first.history["loss"])


def test_given_model_knows_what_was_learned_even_after_a_restart(fit, small, tiny_data):
    fit(2)
    fresh = small()
    untrained = predict(fresh, tiny_data[0])
    result = fit(3, fresh)
    learned = predict(fresh, tiny_data[0])
    assert np.abs(learned - untrained).max() > 0.01
    accuracy = (learned[105:].argmax(axis=1) == tiny_data[1][105:]).mean()
    assert accuracy == pytest.approx(result.history["val_accuracy"].iloc[-1], abs=1e-5)


def test_features_on_disk_are_never_loaded_as_a_whole(small):
    kept = compute(split_frozen(small())[0], IMAGES, progress=False)
    assert models.as_input(kept) is kept

    class Watched:
        dtype, rows = kept.dtype, []

        def __getitem__(self, rows):
            self.rows.append(len(rows))
            return kept[rows]

    fed = batches(Watched(), np.zeros(20), 8)
    assert [len(fed[i][0]) for i in range(len(fed))] == Watched.rows == [8, 8, 4]


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"", lambda data: b"x" * len(data)])
def test_damaged_features_are_said_and_computed_anew(small, capsys, damage):
    frozen, _ = split_frozen(small())
    kept = compute(frozen, IMAGES, progress=False)
    path, expected = Path(kept.filename), np.array(kept)
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(compute(frozen, IMAGES, progress=False), expected)
    assert "are damaged and computed anew" in capsys.readouterr().out


def test_other_frozen_weights_start_anew(fit, small):
    fit(2)
    assert len(fit(1, small(seed=9)).history) == 1


def test_class_weights_reach_the_tail(fit, small):
    plain = fit(1, batch_size=105)
    weighted = fit(1, batch_size=105, name="weighted", class_weight={label: 10.0 for label in range(7)})
    assert weighted.history["loss"].iloc[0] == pytest.approx(10 * plain.history["loss"].iloc[0], rel=0.2)


def test_prediction_uses_what_training_kept(fit, small, tiny_data, monkeypatch):
    images, labels = tiny_data
    result = fit(6)
    plain = predict(result.model, images[:105])
    # The pictures that were trained on are there; nothing may be computed for them.
    with monkeypatch.context() as patched:
        patched.setattr(feature_store, "_compute_all", None)
        kept = predict_frozen_once(result.model, images[:105])
    np.testing.assert_allclose(kept, plain, atol=1e-3)
    assert kept.shape == (105, 7) and np.ptp(kept, axis=0).max() > 1e-3
    new = predict_frozen_once(result.model, images[::-1])
    np.testing.assert_allclose(new, predict(result.model, images[::-1]), atol=1e-3)


def test_large_maps_go_through_in_smaller_batches(small, monkeypatch):
    frozen, _ = split_frozen(small())
    assert feature_store._bounded(64, frozen) == 64
    seen, whole = [], frozen.predict_on_batch

    def watched(x):
        seen.append(len(x))
        return whole(x)

    # The largest map is the picture itself, 48×48 numbers of four bytes.
    monkeypatch.setattr(feature_store, "ACTIVATION_BYTES", 3 * 4 * 48 * 48)
    monkeypatch.setattr(frozen, "predict_on_batch", watched)
    compute(frozen, IMAGES, progress=False)
    assert max(seen) == 3
