import base64
import dataclasses
import re
import warnings

import cv2
import numpy as np
import pytest

from tests.page import Page
from tfsupermask.report import collect_run, render
from tfsupermask.report.curves import common_curves
from tfsupermask.report.page import image_uri
from tfsupermask.runs.metrics import understood

PERCENT = " %"


def page_of(*runs):
    """The page of runs, which loads and runs nothing."""
    page = Page(render(runs))
    page.check_harmless("image/png")
    return page


def check_accessible(page):
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert all(image["alt"] for image in page.all("img"))
    assert all(cell["scope"] in ("row", "col") for cell in page.all("th"))
    for chart in page.all("svg"):
        assert chart["role"] == "img"
        assert chart["aria-label"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)


@pytest.mark.parametrize("names", [["patches"], ["kaiming"], ["patches", "kaiming"]])
def test_pages_are_well_formed_and_whole(runs, names):
    shown = [runs[name] for name in names]
    check_accessible(page_of(*shown))
    assert render(shown) == render(shown)  # the same bytes each time


def test_numbers_of_the_run_are_on_the_page(runs):
    run = runs["patches"]
    text = page_of(run).text
    for expected in (
        "conv2 on digits",
        f"70{PERCENT} of the weights removed, 30{PERCENT} kept",
        "3 of 3 epochs done",
        "seed 0",
        f"Test top-1 {100 * run.last['test_top1']:.1f}{PERCENT} after epoch 3 of 3",
        f"Test top-5 {100 * run.last['test_top5']:.1f}{PERCENT}",
        f"Test loss {run.last['test_loss']:.3f}",
        f"{run.num_kept:,} of {run.num_weights:,}",
        f"Speed {run.summary['images_per_second']:,.0f} images a second",
        run.summary["versions"]["keras"],
        run.begun.strftime("%d %B %Y, %H:%M UTC"),
        f"{np.trace(run.predictions.confusion)} of 99 right",
        run.data_sha256[:12],
    ):
        assert expected in text
    for mask in run.masks:
        shape = " × ".join(map(str, mask.shape))
        row = f"{shape} {mask.num_weights:,} {mask.num_kept:,}"
        assert f"{mask.name} {mask.kind} {row} {100 - 100 * mask.kept:.2f}" in text
    for layer in run.init.layers:
        assert f"{layer.mean_entropy:.2f} bit" in text


def with_column(run, name, values):
    """A run with other values in a column of its metrics."""
    pairs = zip(run.rows, values, strict=True)
    rows = [{**row, name: value} for row, value in pairs]
    return dataclasses.replace(run, rows=rows)


def test_results_are_the_last_epochs_not_the_best(runs):
    run = with_column(runs["patches"], "test_top1", (0.5, 0.875, 0.625))
    assert f"Test top-1 62.5{PERCENT}" in page_of(run).text
    run = with_column(run, "test_loss", [float("nan")] * 3)
    assert "Test loss –" in page_of(run).text
    run = dataclasses.replace(runs["kaiming"], rows=[], summary={}, epoch=0)
    text = page_of(run).text
    assert "No epoch is done yet." in text
    assert "Test top-1 – after epoch 0 of 3" in text
    page_of(run, run)


def test_confusions_are_on_the_page(runs):
    confusion = runs["patches"].predictions.confusion
    page = render([runs["patches"]])
    table = page[page.index('<table class="confusion">') :]
    cells = re.findall(r'<td class="[^"]*" style="--v:([\d.]+)">([\d,]+)</td>', table)
    assert [int(count) for _, count in cells] == confusion.ravel().tolist()
    shares = confusion / confusion.sum(axis=1, keepdims=True)
    shades = [float(shade) for shade, _ in cells]
    np.testing.assert_allclose(shades, np.sqrt(shares).ravel(), atol=0.0051)


@pytest.mark.parametrize(
    ("fields", "preferred", "entropies"),
    [
        ({}, ["high entropy", "low entropy"], True),
        ({"select": "size"}, ["large", "large"], True),
        ({"select": "linear"}, ["a linear classifier"] * 2, True),
        ({"select": "random", "pattern_images": "all"}, ["none", "none"], False),
    ],
)
def test_which_clusters_became_filters(runs, fields, preferred, entropies):
    run = runs["patches"]
    config = dataclasses.replace(run.config, **fields)
    text = page_of(dataclasses.replace(run, config=config)).text
    for layer, kind in zip(run.init.layers, preferred, strict=True):
        assert f"{layer.layer} {kind} {layer.num_patches:,}" in text
        assert (f"{layer.mean_entropy:.2f} bit" in text) == entropies


def test_many_classes_have_a_map_instead(runs):
    run = runs["patches"]
    confusion = np.eye(30, dtype=np.int64) * 2
    confusion[3, 7] = 5
    run = dataclasses.replace(
        run,
        class_names=tuple(f"class {index}" for index in range(30)),
        predictions=dataclasses.replace(run.predictions, confusion=confusion),
    )
    page = page_of(run)
    assert not [t for t in page.all("table") if t.get("class") == "confusion"]
    (image,) = [i for i in page.all("img") if "map" in i.get("class", "").split()]
    assert image["alt"].startswith("Confusion matrix of the 30 classes")
    assert f"class 3 class 7 5 71.4{PERCENT}" in page.text


def test_the_first_convolution_need_not_have_the_first_mask(runs):
    run = runs["patches"]
    text = page_of(dataclasses.replace(run, masks=run.masks[::-1])).text
    assert "Three channels are shown in colour" in text


def test_names_cannot_leave_their_place(folder, load, digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = collect_run(folder, load=load)
    page = page_of(run)
    for name in (*digits.class_names, folder.name):
        assert name in page.text
    alts = {image["alt"] for image in page.all("img")}
    labels = {digits.class_names[m.label] for m in run.predictions.mistakes}
    assert {f"Test image of class {name}" for name in labels} <= alts


def test_layer_names_of_a_forged_report_cannot_either(runs):
    run = runs["patches"]
    name = '"><script>alert(1)</script>'
    layer = dataclasses.replace(run.init.layers[0], layer=name)
    init = dataclasses.replace(run.init, layers=(layer,), skipped={name: name})
    mask = dataclasses.replace(run.masks[0], name=name)
    run = dataclasses.replace(run, init=init, masks=(mask,), no_predictions=name)
    page_of(run, run)
    page_of(dataclasses.replace(run, predictions=None))


def test_several_runs_are_compared(runs):
    page = page_of(*runs.values())
    text = page.text
    assert "2 runs side by side" in text
    assert "A 0.7 patches 500 80 3 of 3" in text
    assert "B 0.5 kaiming_normal – – 1 of 3" in text
    links = [link["href"] for link in page.all("a")]
    assert links == ["#run-A", "#run-B"]
    bits = [
        np.concatenate([np.unpackbits(m.bits, count=m.num_weights) for m in run.masks])
        for run in runs.values()
    ]
    measured = 100 * np.mean(bits[0] == bits[1])
    assert f"A and B {measured:.1f}{PERCENT} chance 50.0{PERCENT}" in text


@pytest.fixture
def held_out(runs):
    """The finished run as if its epochs were evaluated on images held out."""
    run = runs["patches"]
    test = {"test_top1": 0.125, "test_top5": 0.375, "test_loss": 4.125}
    return dataclasses.replace(
        run,
        config=dataclasses.replace(run.config, validation_images=99),
        rows=understood(run.rows, "validation"),
        summary={**run.summary, **test, "validation_top1": run.last["test_top1"]},
    )


def test_images_held_out_are_not_called_test(runs, held_out):
    page, last = page_of(held_out), held_out.last
    top1 = f"validation {100 * last['validation_top1']:.1f}{PERCENT}"
    for expected in (
        f"Test top-1 12.5{PERCENT} after epoch 3 of 3 {top1}",
        f"Test top-5 37.5{PERCENT}",
        f"validation {100 * last['validation_top5']:.1f}{PERCENT}",
        f"Test loss 4.125 train {last['train_loss']:.3f} "
        f"validation {last['validation_loss']:.3f}",
        "Train loss Validation loss Train top-1 Validation top-1 Validation top-5",
        "Validation images",
    ):
        assert expected in page.text
    labels = [chart["aria-label"] for chart in page.all("svg")]
    assert [label.partition(":")[0] for label in labels if " validation " in label] == [
        "Cross-entropy / nats against epoch",
        "Top-1 accuracy / % against epoch",
    ]
    assert not [label for label in labels if " test " in label]
    alts = " ".join(image["alt"] for image in page.all("img"))
    assert "Validation image of class" in alts
    assert "Test image" not in alts + page.text
    assert "alidation" not in page_of(runs["patches"]).text
    # What was not measured is not known.
    text = page_of(dataclasses.replace(held_out, summary={})).text
    assert "Test top-1 – after epoch 3 of 3 validation" in text
    assert "Test loss – train" in text


def test_runs_of_both_kinds_are_told_apart(runs, held_out):
    both = [held_out, runs["kaiming"]]
    page = page_of(*both)
    assert "Test top-1 Test top-5 Test loss Validation top-1 Removed" in page.text
    own, other = held_out.last, runs["kaiming"].last
    validation = f"{100 * own['validation_top1']:.1f}{PERCENT}"
    assert f"12.5{PERCENT} 37.5{PERCENT} 4.125 {validation} 70.0" in page.text
    assert f"{other['test_loss']:.3f} – 50.0{PERCENT}" in page.text
    lines = {}
    for title, chart in common_curves(both, ("A", "B")).items():
        (svg,) = Page(f"<!doctype html>{chart}").all("svg")
        lines[title] = re.findall(r"([AB]) [\d.]+ at epoch", svg["aria-label"])
    assert lines == {
        "Training cross-entropy / nats": ["A", "B"],
        "Test cross-entropy / nats": ["B"],
        "Validation cross-entropy / nats": ["A"],
        "Training top-1 accuracy / %": ["A", "B"],
        "Test top-1 accuracy / %": ["B"],
        "Validation top-1 accuracy / %": ["A"],
        "Mask bits flipped in the epoch / %": ["A", "B"],
        "Learning rate": ["A", "B"],
    }
    titles = list(common_curves(list(runs.values()), ("A", "B")))
    assert not [title for title in titles if "Validation" in title]


def test_a_ramp_of_sparsity_has_a_curve(runs):
    title = "Weights removed / %"
    assert title not in page_of(runs["patches"]).text
    ramped = with_column(runs["patches"], "sparsity", (0.1, 0.2, 0.3))
    assert title in page_of(ramped).text
    assert title in page_of(ramped, runs["kaiming"]).text


@pytest.mark.parametrize("channels", [3, 4])
def test_pixels_and_opacity_survive(rng, channels):
    image = rng.integers(0, 256, (5, 7, channels), np.uint8)
    head, _, body = image_uri(image).partition(",")
    assert head == "data:image/png;base64"
    encoded = np.frombuffer(base64.b64decode(body), np.uint8)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded[..., [2, 1, 0, 3][:channels]], image)


def test_masks_of_two_networks_have_a_table_each(runs):
    run = runs["patches"]
    fewer = dataclasses.replace(run, masks=run.masks[1:])
    text = page_of(run, run, fewer, fewer).text
    first, *others = (mask.name for mask in run.masks)
    heads = "Runs All masks"
    assert f"{heads} {first} {' '.join(others)} A and B" in text
    assert f"{heads} {' '.join(others)} C and D" in text


@pytest.mark.parametrize(
    "fields",
    [
        *({"method": method} for method in ("dense", "fixed", "stochastic")),
        {"whole_layers": "first"},
        {"ramp_epochs": 3},
    ],
)
def test_what_is_removed_is_what_the_masks_have_if_nobody_said_it(runs, fields):
    run = runs["patches"]
    config = dataclasses.replace(run.config, prune=0.5, **fields)
    text = page_of(dataclasses.replace(run, config=config)).text
    assert f"70{PERCENT} of the weights removed, 30{PERCENT} kept" in text
    trained = fields.get("method") in ("dense", "fixed")
    assert ("Frozen kernel" in text) is not trained
