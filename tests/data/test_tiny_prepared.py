"""Tiny-ImageNet as TensorFlow Datasets downloads and prepares it."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.data import tiny
from tests.data.tiny import BAD, BOXES, NUMBERS, WNIDS, A, B, C
from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.data.tiny_imagenet import tiny_imagenet_dataset_builder as builder_lib


@pytest.fixture
def online(reachable, monkeypatch, tmp_path):
    """A server with the archive, in place of the official one; counts its requests."""
    folder = tmp_path / "server"
    folder.mkdir()
    tiny.write_zip(folder, tiny.make_files())
    requested = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requested.append(self.path)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/tiny-imagenet-200.zip"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(builder_lib, "URL", url)
    yield folder, requested
    server.shutdown()
    server.server_close()
    thread.join()


def test_without_network_says_where_it_looked_and_what_to_do(
    no_network, monkeypatch, tmp_path
):
    (tmp_path / "tiny-imagenet").mkdir()
    before = tiny.tree(tmp_path)
    with pytest.raises(data.DataNotFoundError) as caught:
        data.load("tiny_imagenet", tmp_path)
    message = str(caught.value)
    for name in ("tiny-imagenet-200.zip", "tiny-imagenet-200", "tiny_imagenet/1.0.0"):
        assert f"'{tmp_path}/{name}'" in message
        assert f" '{name}'" in message
    assert "cannot be reached" in message
    assert "--dataset=digits" in message
    assert "\n" not in message
    with pytest.raises(data.DataNotFoundError):
        data.load("tiny_imagenet", tmp_path / "new" / "folder")
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    with pytest.raises(data.DataNotFoundError, match=f"'{tmp_path}/tiny-imagenet-200'"):
        data.load("tiny_imagenet")
    assert tiny.tree(tmp_path) == before
    tiny.write_zip(tmp_path, tiny.make_files())
    assert len(data.load("tiny_imagenet").train) == 9


def test_a_download_gives_the_same_as_the_archive(online, tmp_path):
    server, requested = online
    files = tiny.make_files()
    files[BAD] = files[BAD][:-100]
    files[tiny.train_path(C, 0)] = tiny.encode(7, (64, 64))
    tiny.write_zip(server, files)
    folder = tmp_path / "new" / "folder"
    with pytest.warns(UserWarning, match="images that cannot be decoded: 1"):
        downloaded = data.load("tiny_imagenet", folder)
    assert requested == ["/tiny-imagenet-200.zip"]
    assert [p.name for p in folder.iterdir()] == ["tiny_imagenet"]
    assert [p.name for p in (folder / "tiny_imagenet").iterdir()] == ["1.0.0"]
    assert len(downloaded.train) == 8

    before = tiny.tree(folder)
    tiny.assert_equal(tiny.load(folder), downloaded)
    tiny.assert_equal(tiny.load_with_warning(server)[0], downloaded)
    assert len(requested) == 1
    assert tiny.tree(folder) == before


def break_off(folder, monkeypatch):
    path = folder / "tiny-imagenet-200.zip"
    path.write_bytes(path.read_bytes()[:5000])
    return "no zip archive, or only a part of one"


def disappear(folder, monkeypatch):
    (folder / "tiny-imagenet-200.zip").unlink()
    return "404"


def differ(folder, monkeypatch):
    """From the checksum that is registered for the address."""
    (official,) = builder_lib.Builder.url_infos.values()
    infos = {builder_lib.URL: official}
    monkeypatch.setattr(builder_lib.Builder, "url_infos", infos)
    return "NonMatchingChecksumError"


@pytest.mark.parametrize("failure", [break_off, disappear, differ])
def test_a_download_that_fails_leaves_nothing(failure, online, monkeypatch, tmp_path):
    expected = failure(online[0], monkeypatch)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "other").write_text("keep me")
    before = tiny.tree(folder)
    with pytest.raises(data.DataNotFoundError, match=expected) as caught:
        data.load("tiny_imagenet", folder)
    assert "\n" not in str(caught.value)
    assert tiny.tree(folder) == before


def test_the_official_archive_is_registered():
    infos = builder_lib.Builder.url_infos
    info = infos["http://cs231n.stanford.edu/tiny-imagenet-200.zip"]
    assert builder_lib.URL in infos
    assert info.size == 248_100_043
    assert info.filename == "tiny-imagenet-200.zip"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared folder, and the files that it was made from."""
    root = tmp_path_factory.mktemp("prepared")
    files = tiny.make_files()
    tiny.edit_lines(BOXES, lambda lines: [*lines[1:], f"{B}_2.JPEG\t0\t0\t0\t0"])(files)
    files[tiny.train_path(C, 10)] = tiny.encode(7, (64, 64))
    builder = builder_lib.Builder(
        data_dir=root, source=tiny.write_folder(root / "source", files)
    )
    with pytest.warns(UserWarning, match="training images without a box: 1"):
        builder.download_and_prepare()
    return root, files


def test_features(prepared):
    root, files = prepared
    builder = tfds.builder("tiny_imagenet", data_dir=root)
    assert sorted(builder.info.splits) == ["train", "validation"]
    assert builder.info.features["label"].names == list(WNIDS)
    assert builder.info.metadata["words"] == [tiny.WORDS[wnid] for wnid in WNIDS]
    examples = {
        example["file_name"].decode(): example
        for example in builder.as_dataset(split="train").as_numpy_iterator()
    }
    assert len(examples) == 9
    for label, wnid in enumerate(WNIDS):
        for number in NUMBERS:
            example = examples[f"{wnid}_{number}.JPEG"]
            assert example["label"] == label
            assert example["wnid"].decode() == wnid
            assert example["words"].decode() == tiny.WORDS[wnid]
            # TensorFlow's decoder rounds in another way.
            np.testing.assert_allclose(
                example["image"].astype(int),
                tiny.pixels(files[tiny.train_path(wnid, number)]),
                atol=12,
            )
    # ymin, xmin, ymax, xmax: pixels 16 to 63 of the rows, 10 to 31 of the columns.
    box = [16 / 64, 10 / 64, 1, 32 / 64]
    np.testing.assert_array_equal(examples[f"{A}_10.JPEG"]["bboxes"], [box])
    assert examples[f"{B}_0.JPEG"]["bboxes"].shape == (0, 4)
    boxes = [[16 / 64, 2 / 64, 1, 32 / 64], [0, 0, 1 / 64, 1 / 64]]
    np.testing.assert_array_equal(examples[f"{B}_2.JPEG"]["bboxes"], boxes)
    for example in builder.as_dataset(split="validation").as_numpy_iterator():
        number = int(example["file_name"].decode()[4:-5])
        assert example["label"] == number % 3
        np.testing.assert_array_equal(example["bboxes"], [[0, 0, 1, 1]])


@pytest.mark.parametrize("name", ["metadata.json", "dataset_info.json"])
def test_refuses_prepared_data_that_is_damaged(name, prepared, no_network, tmp_path):
    shutil.copytree(prepared[0], tmp_path, dirs_exist_ok=True)
    assert len(tiny.load(tmp_path).train) == 9
    (tmp_path / "tiny_imagenet" / "1.0.0" / name).write_text("{")
    with pytest.raises(InputError, match="cannot be read") as caught:
        data.load("tiny_imagenet", tmp_path)
    assert f"'{tmp_path}/tiny_imagenet" in str(caught.value)


class TestBuilder(tfds.testing.DatasetBuilderTestCase):
    """TensorFlow Datasets' own; the archive is a `tiny.write_zip`."""

    DATASET_CLASS = builder_lib.Builder
    EXAMPLE_DIR = Path(__file__).parent / "tiny_imagenet_dummy"
    DL_DOWNLOAD_RESULT = "tiny-imagenet-200.zip"
    SPLITS = {"train": 9, "validation": 6}  # noqa: RUF012
