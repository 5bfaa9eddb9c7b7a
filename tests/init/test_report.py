import json

import keras
import numpy as np

from tfsupermask.init import LayerReport, PatchesInit, PatchesInitReport


def layer_report(**changes):
    return LayerReport(
        **{
            "layer": "conv1",
            "discriminative": False,
            "num_patches": 100,
            "num_clusters": 20,
            "clusters_kept": 17,
            "sizes": np.array([9, 7, 5]),
            "entropies": np.array([3.0, 2.5, 0.5]),
            "added_patches": 0,
            "image": np.array([4, 2, 8]),
            "row": np.array([-1, 0, 3], np.int32),
            "column": np.array([0, 1, 2], np.int32),
            "seconds": {"extract": 1.25, "cluster": 0.5},
            **changes,
        }
    )


REPORT = PatchesInitReport(
    (layer_report(), layer_report(layer="conv2", seconds={"extract": 2.0})),
    {"shortcut": "1x1 convolution"},
)


def test_dictionary_survives_json():
    stored = json.loads(json.dumps(REPORT.as_dict()))
    assert stored["skipped"] == {"shortcut": "1x1 convolution"}
    assert stored["seconds"] == 3.75
    assert [layer["layer"] for layer in stored["layers"]] == ["conv1", "conv2"]
    assert stored["layers"][0] == {
        "layer": "conv1",
        "discriminative": False,
        "num_patches": 100,
        "num_clusters": 20,
        "clusters_kept": 17,
        "sizes": [9, 7, 5],
        "entropies": [3.0, 2.5, 0.5],
        "added_patches": 0,
        "image": [4, 2, 8],
        "row": [-1, 0, 3],
        "column": [0, 1, 2],
        "seconds": {"extract": 1.25, "cluster": 0.5},
        "mean_entropy": 2.0,
    }


def test_text_is_a_table_with_what_was_skipped():
    assert str(REPORT).splitlines() == [
        "layer     clusters  kept  filters   entropy  smallest    s",
        "conv1           20    17        3  2.00 bit         5  1.8",
        "conv2           20    17        3  2.00 bit         5  2.0",
        "shortcut  left as it was: 1x1 convolution",
    ]


def test_long_names_widen_the_table_and_layers_may_have_no_clusters():
    empty = np.array([], np.int64)
    layer = layer_report(layer="outer/inner/conv1", sizes=empty, entropies=empty)
    report = PatchesInitReport((layer,), {"outer/inner/conv23": "why"})
    lines = str(report).splitlines()
    assert lines[0].startswith("layer" + " " * 13 + "  clusters")
    assert lines[1].startswith("outer/inner/conv1         20")
    assert "0.00 bit         0" in lines[1]
    assert lines[2] == "outer/inner/conv23  left as it was: why"


def test_a_real_report_survives_json():
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3), np.uint8)
    sizes = {"a": 3, "b": 3, "c": 1}
    layers = [keras.layers.Conv2D(4, size, name=n) for n, size in sizes.items()]
    model = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    report = PatchesInit(200, 10).apply(model, images, np.arange(8) % 2)
    stored = json.loads(json.dumps(report.as_dict()))
    assert stored == report.as_dict()
    for layer in stored["layers"]:
        assert " ".join(layer["seconds"]) == "extract reduce cluster select assign"
        assert all(seconds >= 0 for seconds in layer["seconds"].values())
    assert [line.split()[0] for line in str(report).splitlines()[1:]] == ["a", "b", "c"]
