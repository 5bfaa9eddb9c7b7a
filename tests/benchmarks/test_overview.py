import dataclasses

import numpy as np
import pytest

from benchmarks.overview import draw
from tfsupermask import InputError, train
from tfsupermask.layers import masked_weights
from tfsupermask.runs import Config

CONFIG = Config(width=0.25, num_patches=300, num_clusters=50, limit_images=60, epochs=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overview") / "run"
    train.run(dataclasses.replace(CONFIG, workdir=str(folder)))
    return train.load_run(folder)


def test_shows_an_image_its_patches_and_the_filters_that_are_kept(run):
    split = train.load_images(run.config).train
    image, patches, filters, kept = draw(run, split, 3).axes
    shown = [axis.images[0].get_array() for axis in (image, patches, filters, kept)]
    np.testing.assert_array_equal(shown[0], shown[1])
    assert any(np.array_equal(shown[0], each) for each in split.images)
    assert len(image.patches) > 0
    assert {(p.get_width(), p.get_height()) for p in patches.patches} == {(3, 3)}
    # A filter whose weights are all removed is grey; any other place is as it was.
    mask = masked_weights(run.model)[0].mask.numpy()
    changed = np.mean(shown[2] != shown[3])
    assert 0 < changed < np.mean(mask == 0)


def test_refuses_what_it_cannot_show(run):
    split = train.load_images(run.config).train
    with pytest.raises(InputError, match=r"`image` must be in \[0, 60\).*image=60"):
        draw(run, split, 60)
    config = dataclasses.replace(CONFIG, init="kaiming_normal")
    with pytest.raises(InputError, match="init='kaiming_normal'"):
        draw(dataclasses.replace(run, config=config), split, 0)
