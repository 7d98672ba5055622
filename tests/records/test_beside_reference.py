"""A run is never shown beside the recorded one without saying what each was made from."""

from helpers import a_score

from fer_utils.records.beside_reference import beside_reference


def a_run(is_sample, seed=0, epochs=3):
    return {
        "model": "custom_cnn",
        "weights": "none",
        "settings": {"seed": seed, "width": 0.25},
        "epochs": epochs,
        "data": {"is_sample": is_sample},
        "history": {"val_accuracy": [0.2 + 0.1 * i for i in range(epochs)]},
        "scores": {split: {**a_score(split), "accuracy": 0.25} for split in ("training", "validation", "PublicTest")},
    }


def test_both_runs_carry_their_data_n_and_interval(capsys):
    figure = beside_reference(a_run(True), "custom_cnn", [a_run(False, epochs=5)])
    printed = capsys.readouterr().out
    assert "this run, embedded sample: PublicTest 25.0% (10.0% to 90.0%, n = 77)\n    3 epochs of 77" in printed
    assert "77 pictures, 25% of the filters" in printed
    assert "recorded, FER-2013" in printed and "5 epochs" in printed and "not the same task" in printed
    curves, *matrices = figure.axes
    assert [len(line.get_xdata()) for line in curves.lines] == [3, 5]
    assert ["embedded sample" in ax.get_title() for ax in matrices] == [True, False]


def test_a_label_says_what_the_backbone_began_with(capsys):
    beside_reference(a_run(True) | {"weights": "faces"}, "custom_cnn", [a_run(False) | {"weights": "random"}])
    mine, _, known, *_ = capsys.readouterr().out.splitlines()
    assert "embedded sample, face weights: " in mine and "FER-2013, random weights: " in known


def test_a_label_says_if_nothing_of_the_backbone_was_frozen(capsys):
    mine, known = a_run(True), a_run(False)
    known["settings"]["frozen"] = False
    beside_reference(mine, "custom_cnn", [known])
    first, _, second, *_ = capsys.readouterr().out.splitlines()
    assert "every layer trained" not in first and "every layer trained" in second


def test_a_run_says_how_it_was_augmented_and_what_made_its_steps(capsys):
    long = a_run(False) | {"model": "custom_cnn_augmented"}
    long["settings"] |= {"gentle_epochs": 15, "strength": 0.5, "optimizer": "muon", "learning_rate": 0.001}
    long["settings"] |= {"label_smoothing": 0.1, "start": {"weights": "0" * 16, "epochs": 17}}
    beside_reference(a_run(True), "custom_cnn_augmented", [long])
    mine, known = capsys.readouterr().out.split("recorded,")
    assert "Muon" not in mine and "augmentation" not in mine
    told = "by Muon, labels smoothed by 0.1, a second training after one of 17 epochs, "
    told += "augmentation growing over 15 epochs, 50% as strong"
    assert told in " ".join(known.split()), "wrapped between words"
    # The run without augmentation has the same settings, which did not concern it.
    beside_reference(a_run(True), "custom_cnn", [{**long, "model": "custom_cnn"}])
    assert "augmentation" not in capsys.readouterr().out


def test_the_step_size_of_a_cosine_is_told_as_the_largest(capsys):
    told = []
    for changes in ({}, {"schedule": "cosine"}, {"rate_patience": 0}, {"rate_patience": 3}):
        mine = a_run(True)
        mine["settings"] |= {"learning_rate": 0.001, **changes}
        beside_reference(mine, "custom_cnn", [a_run(False)])
        (found,) = [line for line in capsys.readouterr().out.splitlines() if "step size" in line]
        told.append(found.split("step size 0.001 at ")[1])
    assert told == ["first", "most", "most", "first"]


def test_a_network_of_another_width_can_be_asked_for(capsys):
    narrow, whole = a_run(False), a_run(False, epochs=9)
    for record in (narrow, whole):
        record["scores"]["validation"] = a_score("validation")
    whole["settings"] = whole["settings"] | {"width": 1}
    beside_reference(a_run(True), "custom_cnn", [narrow, whole])
    assert "9 epochs" not in capsys.readouterr().out
    beside_reference(a_run(True), "custom_cnn", [narrow, whole], width=1)
    assert "9 epochs" in capsys.readouterr().out


def test_without_a_recorded_run_it_says_how_to_make_one(capsys):
    assert beside_reference(a_run(True), "custom_cnn", []) is None
    assert "fer run --profile full --only 03" in capsys.readouterr().out


def test_no_tick_says_less_than_it_stands_for():
    known, ours = a_run(False), a_run(True)
    # So narrow a range has ticks between the whole percents.
    known["history"]["val_accuracy"], ours["history"]["val_accuracy"] = [0.35, 0.37], [0.35, 0.36]
    curves = beside_reference(ours, "custom_cnn", [known]).axes[0]
    curves.figure.draw_without_rendering()
    ticks = curves.get_yticks()
    assert any(round(1000 * tick) % 10 for tick in ticks), "the case that this is about"
    for tick, label in zip(ticks, curves.get_yticklabels(), strict=True):
        assert abs(float(label.get_text().rstrip("%")) / 100 - tick) < 1e-9
