import dataclasses
import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest

from tfsupermask.report import collect_run, curves, render
from tfsupermask.runs.metrics import understood

PERCENT = " %"
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A well-formed page: its tags with attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.styles = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        assert text.count("<!doctype html>") == 1

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        assert all(re.fullmatch(r"[a-z][a-z0-9-]*|viewbox", name) for name in names)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        assert self.open.pop() == tag

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        (self.styles if self.open[-1:] == ["style"] else self.texts).append(data)

    @property
    def text(self):
        """What is read, white space made single."""
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        """Attributes of each element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def urls(self):
        """Everything that the page could load or link to."""
        attributes = (
            value
            for _, each in self.tags
            for name, value in each.items()
            if name
            in ("src", "href", "srcset", "action", "data", "poster", "xlink:href")
        )
        styles = [*self.styles, *(each.get("style", "") for _, each in self.tags)]
        return [*attributes, *re.findall(r"url\(|@import", " ".join(styles))]


@pytest.fixture(scope="module")
def runs(made, digits):
    return {name: collect_run(made[name], load=lambda *_: digits) for name in made}


def check_alone_and_harmless(page):
    assert all(re.match(r"data:image/png;base64,|#", url) for url in page.urls())
    forbidden = {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "i-frame",
    }
    assert not forbidden & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'")


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
    page = Page(render([runs[name] for name in names]))
    check_alone_and_harmless(page)
    check_accessible(page)


def test_numbers_of_the_run_are_on_the_page(runs):
    run = runs["patches"]
    text = Page(render([run])).text
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
        f"{run.predictions.totals.top1:.0f} of 99 right",
        run.data_sha256[:12],
    ):
        assert expected in text
    for mask in run.masks:
        shape = " × ".join(map(str, mask.shape))
        row = f"{shape} {mask.num_weights:,} {mask.num_kept:,}"
        assert f"{mask.name} {mask.kind} {row} {100 - 100 * mask.kept:.2f}" in text
    for layer in run.init.layers:
        assert f"{layer.mean_entropy:.2f} bit" in text


def test_accuracy_is_the_last_epochs_not_the_best(runs):
    rows = [
        {**row, "test_top1": top1}
        for row, top1 in zip(runs["patches"].rows, (0.5, 0.875, 0.625), strict=True)
    ]
    run = dataclasses.replace(runs["patches"], rows=rows)
    assert f"Test top-1 62.5{PERCENT}" in Page(render([run])).text


def test_confusions_are_on_the_page(runs):
    confusion = runs["patches"].predictions.confusion
    page = render([runs["patches"]])
    table = page[page.index('<table class="confusion">') :]
    cells = re.findall(r'<td class="[^"]*" style="--v:([\d.]+)">([\d,]+)</td>', table)
    assert [int(count) for _, count in cells] == confusion.ravel().tolist()
    shares = confusion / confusion.sum(axis=1, keepdims=True)
    shades = [float(shade) for shade, _ in cells]
    np.testing.assert_allclose(shades, np.sqrt(shares).ravel(), atol=0.0051)


def test_many_classes_have_a_map_instead(runs):
    run = runs["patches"]
    confusion = np.eye(30, dtype=np.int64) * 2
    confusion[3, 7] = 5
    run = dataclasses.replace(
        run,
        class_names=tuple(f"class {index}" for index in range(30)),
        predictions=dataclasses.replace(run.predictions, confusion=confusion),
    )
    page = Page(render([run]))
    assert not [t for t in page.all("table") if t.get("class") == "confusion"]
    (image,) = [i for i in page.all("img") if "map" in i.get("class", "").split()]
    assert image["alt"].startswith("Confusion matrix of the 30 classes")
    assert f"class 3 class 7 5 71.4{PERCENT}" in page.text


def test_names_cannot_leave_their_place(folder, load, digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = collect_run(folder, load=load)
    text = render([run])
    page = Page(text)
    check_alone_and_harmless(page)
    assert "<script" not in text.lower()
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
    check_alone_and_harmless(Page(render([run, run])))
    check_alone_and_harmless(Page(render([dataclasses.replace(run, predictions=None)])))


def test_several_runs_are_compared(runs):
    page = Page(render(list(runs.values())))
    text = page.text
    assert "2 runs side by side" in text
    assert "A 0.7 patches 500 80 3 of 3" in text
    assert "B 0.5 kaiming_normal – – 1 of 3" in text
    links = [link["href"] for link in page.all("a")]
    assert links == ["#run-A", "#run-B"]
    pair = f"A and B {100 * measured(runs):.1f}{PERCENT} chance 50.0{PERCENT}"
    assert pair in text


def measured(runs):
    masks = [
        np.concatenate([np.unpackbits(m.bits, count=m.num_weights) for m in run.masks])
        for run in runs.values()
    ]
    return np.mean(masks[0] == masks[1])


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
    page, last = Page(render([held_out])), held_out.last
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
    told = [chart["aria-label"] for chart in page.all("svg")]
    assert [label.partition(":")[0] for label in told if " validation " in label] == [
        "Cross-entropy / nats against epoch",
        "Top-1 accuracy / % against epoch",
    ]
    assert not [label for label in told if " test " in label]
    alts = " ".join(image["alt"] for image in page.all("img"))
    assert "Validation image of class" in alts
    assert "Test image" not in alts + page.text
    assert "alidation" not in Page(render([runs["patches"]])).text


def test_test_accuracy_is_unknown_where_it_was_not_measured(held_out):
    text = Page(render([dataclasses.replace(held_out, summary={})])).text
    assert "Test top-1 – after epoch 3 of 3 validation" in text
    assert "Test loss – train" in text


def test_runs_of_both_kinds_are_told_apart(runs, held_out):
    both = [held_out, runs["kaiming"]]
    page = Page(render(both))
    assert "Test top-1 Test top-5 Test loss Validation top-1 Removed" in page.text
    own, other = held_out.last, runs["kaiming"].last
    validation = f"{100 * own['validation_top1']:.1f}{PERCENT}"
    assert f"12.5{PERCENT} 37.5{PERCENT} 4.125 {validation} 70.0" in page.text
    assert f"{other['test_loss']:.3f} – 50.0{PERCENT}" in page.text
    charts = {
        title: [
            each["aria-label"] for each in Page(f"<!doctype html>{chart}").all("svg")
        ]
        for title, chart in curves.common_curves(both, ("A", "B")).items()
    }
    lines = {
        title: re.findall(r"([AB]) [\d.]+ at epoch", label)
        for title, (label,) in charts.items()
    }
    assert lines == {
        "Test cross-entropy / nats": ["B"],
        "Validation cross-entropy / nats": ["A"],
        "Test top-1 accuracy / %": ["B"],
        "Validation top-1 accuracy / %": ["A"],
        "Mask bits flipped in the epoch / %": ["A", "B"],
    }
    titles = list(curves.common_curves(list(runs.values()), ("A", "B")))
    assert not [title for title in titles if "Validation" in title]


def test_before_the_first_epoch(runs):
    run = dataclasses.replace(runs["kaiming"], rows=[], summary={}, epoch=0)
    page = Page(render([run]))
    check_alone_and_harmless(page)
    assert "No epoch is done yet." in page.text
    assert "Test top-1 – after epoch 0 of 3" in page.text
    Page(render([run, run]))


def test_a_ramp_of_sparsity_has_a_curve(runs):
    title = "Weights removed / %"
    assert title not in Page(render([runs["patches"]])).text
    rows = [{**row, "sparsity": 0.1 * row["epoch"]} for row in runs["patches"].rows]
    ramped = dataclasses.replace(runs["patches"], rows=rows)
    assert title in Page(render([ramped])).text
    assert title in Page(render([ramped, runs["kaiming"]])).text


def test_a_loss_that_is_not_finite(runs):
    rows = [{**row, "test_loss": float("nan")} for row in runs["patches"].rows]
    run = dataclasses.replace(runs["patches"], rows=rows)
    assert "Test loss –" in Page(render([run])).text


def test_pages_are_the_same_bytes_each_time(runs):
    assert render(list(runs.values())) == render(list(runs.values()))
