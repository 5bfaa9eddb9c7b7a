"""The configuration of a run; its fields become the flags of the programs."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from tfsupermask import data, init, models, patches
from tfsupermask._files import check_no_pattern
from tfsupermask._validation import (
    check_choice,
    check_fraction,
    check_integer,
    check_number,
    fail,
)
from tfsupermask.init import RESCALINGS
from tfsupermask.layers import get_method, method_names
from tfsupermask.models.registry import check_width
from tfsupermask.patches.reduction import NUM_COMPONENTS
from tfsupermask.sparsity import ALLOCATIONS

# Initialisations by PatchesInit, by patches of any kind, and by chance.
PATTERN_INITS = ("patches", "partial_patches", "whitened_patches")
PATCH_INITS = (*PATTERN_INITS, "simple_patches")
RANDOM_INITS = init.NAMES
INITS = (*PATCH_INITS, *RANDOM_INITS)
TRAINING_IMAGES, ALL_IMAGES = "train", "all"  # where patterns come from
# Of resolved configs: the weights come from another run, the patterns' images from the
# caller.
GIVEN = "given"
DRAWN = "init"
OPTIMIZERS = ("sgd", "adam")
STRATEGIES = ("auto", "single", "mirrored", "multi_worker")
_WITHOUT_LABELS = ("size", "random")  # of `select`
_BY_SCORE = "edge_popup_by_score"
# Options of patterns that were removed, with the values that changed nothing.
_REMOVED = {"pattern_fraction": (None, 1.0), "pattern_scale": (None, "xavier")}


def _field(
    default: Any,
    help: str,
    # A function of name and value that raises; by default one for bools or for texts.
    check: Callable | None = None,
    # Another field, and its values with which this one has a meaning.
    applies: tuple[str, Sequence[str] | Callable] | None = None,
    # Whether it determines the result.
    identifies: bool = True,
    # Fields since 2 are in a run's name if they have another value than the default.
    since: int = 2,
) -> Any:
    """Returns a field of `Config` with all that belongs to its flag."""
    if check is None:
        check = _one_of((False, True)) if isinstance(default, bool) else _check_text
    metadata = {"help": help, "check": check, "applies": applies}
    metadata |= {"identifies": identifies, "since": since}
    return dataclasses.field(default=default, metadata=metadata)


_first = functools.partial(_field, since=1)


def _at_least(minimum, most=2**31 - 1):
    def check(name, value):
        if check_integer(name, value, minimum) > most:
            raise fail(f"`{name}` must be at most {most}.", **{name: value})
        return value

    return check


def _one_of(choices):
    return lambda name, value: check_choice(name, value, choices)


def _check_text(name, value):
    if not isinstance(value, str):
        raise fail(f"`{name}` must be a text.", **{name: value})
    return value


def _check_words(name, value):
    if not isinstance(value, str) or not value.strip():
        raise fail(f"`{name}` must not be empty.", **{name: value})
    return value


def _check_whole_layers(name, value):
    if not isinstance(value, str) or not all(map(str.strip, value.split(","))):
        raise fail(f"`{name}` must be patterns, separated by commas.", **{name: value})
    return value


def _methods_that_take_sparsity():
    return [m for m in method_names() if get_method(m).takes_sparsity]


def _methods_of_given_sparsity():
    taking = _methods_that_take_sparsity()
    return [name for name in taking if not get_method(name).decides_num_kept]


_WITH_TFDS = ("dataset", ("tfds:*",))
_WITH_OWN = ("dataset", ("folder", "tfds:*"))
_WITH_PATCHES = ("init", PATCH_INITS)
_WITH_PATTERNS = ("init", PATTERN_INITS)
_WITH_GIVEN_SPARSITY = ("method", _methods_of_given_sparsity)
_WITH_FIXED_MASKS = ("method", ("fixed",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What to run. `None` stands for the value in `tfsupermask.runs.recipes`.

    Example:
        >>> Config(model="conv6", dataset="cifar100", prune=0.7).validate().prune
        0.7
    """

    model: str = _first(
        "conv2",
        f"Network: {', '.join(models.names())}.",
        lambda name, value: check_choice(name, value, models.names()),
    )
    width: float = _field(
        1.0,
        "Factor, at most 100, of all numbers of filters and of hidden neurons, which "
        "are rounded and stay at least 1.",
        check_width,
    )
    affine_norm: bool = _field(
        False,
        "Batch normalisations have a scale and an offset, trained like the scores "
        f"({', '.join(models.names('affine_norm'))}).",
        applies=("model", lambda: models.names("affine_norm")),
    )
    dataset: str = _first(
        "digits",
        "Images: digits (comes with the program), cifar10, cifar100, tiny_imagenet, "
        "folder (your own, with a sub-folder for each class), or any of TensorFlow "
        "Datasets, as tfds:NAME[/CONFIG][:VERSION].",
        data.check_name,
    )
    data_dir: str | None = _field(
        None,
        "Folder that holds the prepared TensorFlow Datasets (default "
        "~/tensorflow_datasets), tiny-imagenet-200.zip, or your class folders.",
        identifies=False,
    )
    image_size: int | None = _first(
        None,
        "Side in pixels to which the images of --dataset=folder or tfds:… are scaled "
        "and cropped (default 64; tfds:… their own, if all are equal squares).",
        _at_least(8),
        applies=_WITH_OWN,
    )
    train_split: str | None = _field(
        None,
        "Images of --dataset=tfds:… to train on, in its notation, such as train[:90%] "
        "(default train).",
        applies=_WITH_TFDS,
    )
    test_split: str | None = _field(
        None,
        "Images of --dataset=tfds:… to test on (default: test or validation, else a "
        "part of train).",
        applies=_WITH_TFDS,
    )
    test_fraction: float = _field(
        data.TEST_FRACTION,
        "Fraction of the images of --dataset=folder or tfds:… to hold out for the "
        "test, if they have no test images of their own.",
        check_fraction,
        applies=_WITH_OWN,
    )
    flip: bool = _field(
        True,
        "Mirror training images of --dataset=folder or tfds:… at random; --noflip for "
        "letters, digits or whatever else is another thing in the mirror.",
        applies=("dataset", (*_WITH_OWN[1], data.given.NAME)),
    )
    pattern_images: str = _field(
        TRAINING_IMAGES,
        "Where patterns and patches come from: the images trained on (train), also the "
        "training images that --limit_images leaves out (all), or a folder of images "
        "of any kind. All but train go without labels, so --select is random unless "
        "it is size.",
        _check_words,
        applies=_WITH_PATCHES,
    )
    bad_images: str = _field(
        data.BAD_IMAGES[0],
        "What happens when files of --dataset=folder or of a folder of "
        "--pattern_images cannot be read: fail, or skip them. A file lists them.",
        _one_of(data.BAD_IMAGES),
        identifies=False,
    )
    images_in: str = _field(
        "auto",
        "Where decoded images are: memory; disk (decoded once to a file that later "
        "runs use again, and read as they are needed); or auto: disk if they take more "
        "than half of the free memory.",
        _one_of(data.PLACES),
        identifies=False,
    )
    cache_dir: str | None = _field(
        None,
        "Folder of files of decoded images (default ~/.cache/tfsupermask).",
        identifies=False,
    )
    limit_images: int | None = _field(
        None,
        "Train on this number of the training images only; the classes get equal "
        "numbers as far as possible (default: all).",
        _at_least(1),
    )
    limit_test_images: int | None = _field(
        None,
        "Test on this number of the test images only, likewise (default: all).",
        _at_least(1),
    )
    validation_images: int | None = _field(
        None,
        "Hold out this number of training images, in equal numbers for the classes as "
        "far as possible, and evaluate every epoch on them; the test images are then "
        "used only once, at the end (default: none, or the folder's own).",
        _at_least(1),
    )
    method: str = _field(
        "edge_popup",
        "What is trained, and which weights are kept. Scores of frozen weights: keep "
        "the largest |score| (edge_popup) or score (edge_popup_by_score), invert where "
        "it is negative (signed), keep each with a probability, drawn again in every "
        "step (stochastic), keep signs alone (biprop), or draw removed weights anew "
        "now and then (iterand). The weights: all (dense), the largest (magnitude, or "
        "magnitude_straight_through, from which removed ones may come back), or those "
        "of a given mask (fixed).",
        lambda name, value: get_method(value),
    )
    prune: float = _first(
        0.5,
        "Sparsity: fraction of the weights removed (--method=stochastic: at the start; "
        "then it is learned).",
        check_fraction,
        applies=("method", _methods_that_take_sparsity),
    )
    mask_from: str | None = _field(
        None,
        "Run folder, ticket or zoo:NAME from which --method=fixed takes the mask.",
        applies=_WITH_FIXED_MASKS,
    )
    prune_rest: float = _field(
        0.0,
        "Fraction of the weights that the mask keeps in each layer to remove as well, "
        "the smallest first (--method=fixed).",
        check_fraction,
        applies=_WITH_FIXED_MASKS,
    )
    weights_from: str | None = _field(
        None,
        "Where the weights of --method=fixed start: as --init and --seed draw them "
        "(init), or those of another run folder or ticket (default: what --mask_from "
        "computes with).",
        applies=_WITH_FIXED_MASKS,
    )
    redraw_steps: int | None = _field(
        None,
        "Steps after which a tenth of the removed weights is drawn anew "
        "(--method=iterand).",
        _at_least(1),
        applies=("method", ("iterand",)),
    )
    allocation: str = _field(
        "uniform",
        "How the sparsity is shared among layers: equal in all (uniform), lower in "
        "small ones (erdos_renyi), or by one ranking of all scores, repeated in each "
        "epoch (global).",
        _one_of(ALLOCATIONS),
        applies=_WITH_GIVEN_SPARSITY,
    )
    ramp_epochs: int = _field(
        0,
        "Raise the sparsity from 0 to --prune during this number of first epochs (0: "
        "--prune from the start; magnitude methods: half of the epochs).",
        _at_least(0),
        applies=_WITH_GIVEN_SPARSITY,
    )
    whole_layers: str | None = _field(
        None,
        "Layers that keep all their weights; --prune is the sparsity of the others. "
        "Names or patterns, separated by commas (conv1,dense*); first and last stand "
        "for the first and the last layer with weights (default: none).",
        _check_whole_layers,
        applies=("method", _methods_that_take_sparsity),
    )
    init: str = _first(
        "patches",
        f"How the weights are initialised: {', '.join(INITS)}.",
        _one_of((*INITS, GIVEN)),
    )
    fan_correction: bool = _first(
        False,
        "Divide the weights' standard deviation by √(1 - prune).",
        applies=("init", RANDOM_INITS),
    )
    num_patches: int | None = _first(
        None,
        "P, patches sampled for each layer (--init=…patches).",
        _at_least(1),
        applies=_WITH_PATCHES,
    )
    num_clusters: int | None = _first(
        None,
        "C, clusters of patches in each layer (--init=…patches).",
        _at_least(1),
        applies=_WITH_PATTERNS,
    )
    discriminative_from: int | None = _first(
        None,
        "D, first convolution, counted from 1, that prefers clusters of few classes "
        "(--init=…patches, --select=entropy; default: the last).",
        _at_least(1),
        applies=_WITH_PATTERNS,
    )
    num_components: int | None = _field(
        None,
        "Dimensions to which PCA reduces patches (--init=…patches; default "
        f"{NUM_COMPONENTS}).",
        _at_least(1),
        applies=_WITH_PATCHES,
    )
    double_from: int | None = _field(
        None,
        "First convolution, counted from 1, that uses twice as many patches and "
        "clusters, as all later ones do (--init=…patches; default: none).",
        _at_least(1),
        applies=_WITH_PATTERNS,
    )
    patch_blocks: int | None = _first(
        None,
        "Number of the network's blocks that get patterns, from the first "
        "(--init=partial_patches; default 1).",
        _at_least(1),
        applies=("init", ("partial_patches",)),
    )
    patch_layers: int | None = _field(
        None,
        "Number of convolutions that get patterns, from the first (--init=patches or "
        "whitened_patches; default: all).",
        _at_least(1),
        applies=("init", ("patches", "whitened_patches")),
    )
    rest: str | None = _field(
        None,
        "How all other weights are initialised when some get patterns: "
        f"{', '.join(RANDOM_INITS)} (default {RANDOM_INITS[0]}; "
        "--init=whitened_patches: signed_constant).",
        _one_of(RANDOM_INITS),
        applies=_WITH_PATCHES,
    )
    cluster_space: str | None = _field(
        None,
        "What k-means groups: patches as they are (raw, the default), minus the mean "
        "patch and of unit length (centred), or also whitened "
        "(--init=whitened_patches: whitened).",
        _one_of(patches.SPACES),
        applies=_WITH_PATTERNS,
    )
    filter_space: str | None = _field(
        None,
        "What becomes a filter: the patch as it is (raw, the default), minus the mean "
        "patch (centred), or also whitened (--init=whitened_patches: whitened).",
        _one_of(patches.SPACES),
        applies=_WITH_PATTERNS,
    )
    select: str | None = _field(
        None,
        "Which clusters become filters: chosen by their entropy (entropy, the "
        "default), by what they add to a linear classifier of the images (linear), the "
        "largest (size), or any (random).",
        _one_of(patches.SELECTIONS),
        applies=_WITH_PATTERNS,
    )
    signs_only: bool | None = _field(
        None,
        "Whether only the signs of patterns become filters, with the same magnitude "
        "everywhere (default: no).",
        _one_of((False, True)),
        applies=_WITH_PATTERNS,
    )
    rescale: str | None = _field(
        None,
        "After any --init: multiply each layer's weights so that its output has a mean "
        "square of 1 under its mask (unit_power), or leave them (none, the default; "
        "--init=whitened_patches: unit_power).",
        _one_of(RESCALINGS),
    )
    crop: str | None = _field(
        None,
        "How training images are cropped at random: shifted by at most an eighth of "
        "their side (shift), or a part of 8 to 100 % of their area scaled up "
        "(resized); shift unless the recipe says otherwise.",
        _one_of(data.CROPS),
    )
    epochs: int | None = _first(None, "Length of the schedule in epochs.", _at_least(1))
    passes_per_epoch: int = _field(
        1,
        "Times that an epoch goes through the training images. With few of them more "
        "save time, as every epoch ends with an evaluation and a checkpoint.",
        _at_least(1),
    )
    stop_after_epoch: int | None = _field(
        None,
        "End early, after this epoch of the schedule (0: only initialise); a later "
        "call goes on from there.",
        _at_least(0),
        identifies=False,
    )
    batch_size: int | None = _first(
        None, "Images per step, over all replicas.", _at_least(1)
    )
    optimizer: str = _field(
        OPTIMIZERS[0],
        f"What trains scores or weights: {' or '.join(OPTIMIZERS)}.",
        _one_of(OPTIMIZERS),
    )
    learning_rate: float | None = _first(
        None, "Initial learning rate of the cosine schedule.", check_number
    )
    warmup_epochs: int | None = _field(
        None,
        "Raise the learning rate from 0 during this number of first epochs; the cosine "
        "follows.",
        _at_least(0),
    )
    label_smoothing: float | None = _field(
        None,
        "Part of each training label that all classes share.",
        check_fraction,
    )
    momentum: float | None = _first(
        None, "Momentum of SGD.", check_fraction, applies=("optimizer", ("sgd",))
    )
    weight_decay: float | None = _first(
        None,
        "Factor of the L2 penalty in the gradient of what is trained.",
        check_number,
    )
    seed: int = _first(0, "Seed of everything random.", _at_least(0, math.inf))
    strategy: str = _field(
        "auto",
        "Devices: single; mirrored (all GPUs of this machine, or two halves of its CPU "
        "if it has none); multi_worker (reads TF_CONFIG); auto chooses one of them.",
        _one_of(STRATEGIES),
        identifies=False,
    )
    wait_seconds: int = _field(
        600,
        "Longest time that a worker (--strategy=multi_worker) waits for the others; "
        "the wait for the first one to initialise has no limit.",
        _at_least(1),
        identifies=False,
    )
    mixed_precision: bool = _first(False, "Compute in bfloat16; scores stay float32.")
    jit_compile: bool = _field(
        False,
        "Compile the training step with XLA; results differ in rounding. Networks with "
        "batch normalisation need --strategy=single for it.",
    )
    deterministic: bool = _field(
        False,
        "Let TensorFlow use only operations that give the same bits every time, to the "
        "end of the process. On CPUs they do so anyway; on GPUs it costs time.",
        identifies=False,
    )
    workdir: str | None = _field(
        None,
        "Folder of the run (default: runs/, named after the configuration).",
        lambda name, value: check_no_pattern(name, _check_text(name, value)),
        identifies=False,
    )
    resume: bool = _field(
        True,
        "Go on where an earlier call of the same run stopped; --noresume refuses a "
        "folder that holds a run.",
        identifies=False,
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # As JSON and the flags hold them: paths as texts, Python's own numbers.
            if isinstance(value, os.PathLike):
                object.__setattr__(self, field.name, os.fspath(value))
            elif isinstance(value, np.generic):
                object.__setattr__(self, field.name, value.item())
            elif type(value) is int and field.type.startswith("float"):
                if abs(value) > 2**53:  # out of every range
                    continue
                object.__setattr__(self, field.name, float(value))

    def validate(self) -> Config:
        """Returns the config; raises InputError if values are wrong or contradict."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                field.metadata["check"](field.name, value)
        for field in dataclasses.fields(self):
            self._check_applies(field)
        for wrong, sentence, names in self._contradictions():
            if wrong:
                raise fail(sentence, **{name: getattr(self, name) for name in names})
        return self

    def _contradictions(self):
        """Yields whether fields contradict each other, a sentence, and their names."""
        yield (
            self.method == "fixed" and self.mask_from is None,
            "`method` 'fixed' needs `mask_from`, a run folder or ticket.",
            ("mask_from",),
        )
        yield (
            self.weights_are_given and self.init not in (type(self).init, GIVEN),
            f"`init` applies to `weights_from` '{DRAWN}' only; otherwise the weights "
            "are given.",
            ("init", "weights_from"),
        )
        yield (
            self.init == GIVEN and not self.weights_are_given,
            f"`init` must be one of {', '.join(INITS)}, as nothing gives weights.",
            ("init",),
        )
        named = TRAINING_IMAGES, ALL_IMAGES, GIVEN
        reads_folder = self.dataset == "folder" or self.pattern_images not in named
        yield (
            self.bad_images != data.BAD_IMAGES[0] and not reads_folder,
            "`bad_images` applies to `dataset` folder, and to a folder of "
            "`pattern_images`, only.",
            ("dataset", "bad_images", "pattern_images"),
        )
        by_labels = {"discriminative_from": self.discriminative_from}
        if self.select not in _WITHOUT_LABELS:
            by_labels["select"] = self.select
        for name, value in by_labels.items():
            yield (
                value is not None and self.pattern_images != TRAINING_IMAGES,
                f"`{name}` {value} needs labels, which only the `pattern_images` "
                f"'{TRAINING_IMAGES}' have.",
                ("pattern_images",),
            )
        yield (
            self.discriminative_from is not None
            and self.select not in (None, "entropy"),
            "`discriminative_from` applies to `select` entropy only.",
            ("select", "discriminative_from"),
        )
        yield (
            self.fan_correction and self.method not in _methods_that_take_sparsity(),
            "`fan_correction` needs a `method` that takes `prune`.",
            ("method", "fan_correction"),
        )
        yield (
            self.dataset == "folder" and self.data_dir is None,
            "`dataset` 'folder' needs `data_dir`, a folder with one sub-folder of "
            "images for each class.",
            ("data_dir",),
        )
        yield (
            self.deterministic and self.jit_compile,
            "`deterministic` does not work with `jit_compile`: XLA knows no "
            "deterministic gradient of max-pooling.",
            ("deterministic", "jit_compile"),
        )
        epochs = math.inf if self.epochs is None else self.epochs
        yield (
            (self.stop_after_epoch or 0) > epochs,
            "`stop_after_epoch` must be at most `epochs`.",
            ("stop_after_epoch", "epochs"),
        )
        yield (
            (self.warmup_epochs or 0) >= epochs,
            "`warmup_epochs` must be less than `epochs`.",
            ("warmup_epochs", "epochs"),
        )
        yield (
            self.ramp_epochs >= epochs,
            "`ramp_epochs` must be less than `epochs`, so that the last epoch has the "
            "whole sparsity.",
            ("ramp_epochs", "epochs"),
        )

    @property
    def weights_are_given(self) -> bool:
        """Whether the weights come from another run, not from `init`."""
        return self.method == "fixed" and self.weights_from != DRAWN

    def _check_applies(self, field):
        if self._is_default(field) or field.metadata["applies"] is None:
            return
        other, values = field.metadata["applies"]
        values = values() if callable(values) else values
        if not any(fnmatchcase(getattr(self, other), value) for value in values):
            *most, last = values
            named = " and ".join(filter(None, [", ".join(most), last]))
            received = {name: getattr(self, name) for name in (other, field.name)}
            raise fail(
                f"`{field.name}` applies to `{other}` {named} only.",
                **received,
            )

    def _is_default(self, field):
        return getattr(self, field.name) == field.default

    @property
    def epoch_split(self) -> str:
        """The images on which every epoch is evaluated: "validation" or "test"."""
        return "test" if self.validation_images is None else "validation"

    @property
    def load_options(self) -> dict[str, Any]:
        """The options with which `tfsupermask.data.load` loads the dataset."""
        own = data.options_of(self.dataset)
        return {name: getattr(self, name) for name in ("images_in", "cache_dir", *own)}

    @property
    def precision(self) -> str:
        """Keras' name of the precision: "mixed_bfloat16" or "float32"."""
        return "mixed_bfloat16" if self.mixed_precision else "float32"

    def identity(self) -> dict[str, Any]:
        """Returns the fields that determine the result, as plain values.

        Devices and folders are not among them: a run may be moved and resumed on other
        devices.
        """
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["identifies"]
        }
        if self.pattern_images not in (TRAINING_IMAGES, ALL_IMAGES, GIVEN):
            fields["pattern_images"] = "folder"
        return fields

    @classmethod
    def from_saved(cls, fields: Mapping[str, Any]) -> Config:
        """Returns the config that a run's folder holds, also one of an older version.

        Options that were removed are left out: after the initialisation they have no
        effect.

        Raises:
            InputError: It has unknown fields, or a value is out of range.
        """
        gone = {*_REMOVED, *removed_options(fields)}
        # Before, `None` stood for more defaults than today.
        fields = {n: v for n, v in fields.items() if n not in gone and v is not None}
        if fields.pop("ranking", "magnitude") == "score":
            fields["method"] = _BY_SCORE
        if fields.get("select") in _WITHOUT_LABELS:
            fields.pop("discriminative_from", None)  # it never had an effect with them
        names = {field.name for field in dataclasses.fields(cls)}
        if not names.issuperset(fields):
            unknown = sorted(set(fields) - names)[:5]
            raise fail("config.json must hold this program's fields.", unknown=unknown)
        return cls(**fields).validate()

    def run_name(self, data_fingerprint: str) -> str:
        """Returns a readable name, unique to this configuration and these images."""
        fields = self.identity()
        for field in dataclasses.fields(self):
            if field.metadata["since"] > 1 and self._is_default(field):
                fields.pop(field.name, None)
        # Names were made when `ranking` was a field, and must stay the same.
        by_score = fields.get("method") == _BY_SCORE and fields.pop("method")
        fields["ranking"] = "score" if by_score else "magnitude"
        text = json.dumps([fields, data_fingerprint], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        takes_sparsity = get_method(self.method).takes_sparsity
        masked = f"prune{self.prune:g}" if takes_sparsity else self.method
        dataset = re.sub(r"[^\w.]+", "-", self.dataset)
        return f"{self.model}-{dataset}-{masked}-{self.init}-seed{self.seed}-{digest}"


def removed_options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of patterns in a saved config that no longer exist."""
    gone = dict(_REMOVED)
    if fields.get("init") in PATTERN_INITS:
        gone["fan_correction"] = (None, False)
    return {
        name: fields[name]
        for name, without_effect in gone.items()
        if fields.get(name) not in without_effect
    }
