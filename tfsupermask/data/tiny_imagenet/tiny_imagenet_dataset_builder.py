"""Tiny-ImageNet-200 for TensorFlow Datasets; the import of this module registers it."""

from __future__ import annotations

import io
import os

import numpy as np
import tensorflow_datasets as tfds

from tfsupermask.data.tiny_imagenet import archive as archive_lib
from tfsupermask.data.tiny_imagenet.members import IMAGE_SHAPE

URL = f"http://cs231n.stanford.edu/{archive_lib.ZIP_NAME}"


class Builder(tfds.core.GeneratorBasedBuilder):
    """The `tiny_imagenet` dataset, from the archive `source` or the official one."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}  # noqa: RUF012 - TFDS' own way.

    def __init__(self, *, source: str | os.PathLike | None = None, **kwargs):
        self._source = source
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=IMAGE_SHAPE, dtype=np.uint8, encoding_format="jpeg"
                    ),
                    # Its names are the wnids of the archive.
                    "label": tfds.features.ClassLabel(),
                    "wnid": tfds.features.Text(),
                    "words": tfds.features.Text(),
                    "bboxes": tfds.features.Sequence(tfds.features.BBoxFeature()),
                    "file_name": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="http://cs231n.stanford.edu/",
            # The words of every class, also of those without images.
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager):
        path = dl_manager.download(URL) if self._source is None else self._source
        with archive_lib.open_archive(path) as archive:
            archive.check()
        self.info.features["label"].names = list(archive.wnids)
        self.info.metadata["words"] = list(archive.words)
        return {
            str(split): self._generate_examples(path, archive, split)
            for split in archive.examples
        }

    def _generate_examples(self, path, checked, split):
        with archive_lib.open_archive(path) as archive:
            for example in checked.examples[split]:
                yield (
                    example.file_name,
                    {
                        "image": io.BytesIO(archive.read(example)),
                        "label": example.label,
                        "wnid": checked.wnids[example.label],
                        "words": checked.words[example.label],
                        "bboxes": [tfds.features.BBox(*box) for box in example.boxes],
                        "file_name": example.file_name,
                    },
                )
