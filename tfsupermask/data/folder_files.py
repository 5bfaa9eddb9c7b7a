"""Which files of a folder are images, of which class and split; what is left out."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import pathlib
import re

import numpy as np

from tfsupermask._reading import check_names
from tfsupermask._validation import fail, listed

# In lower case. The format itself comes from the content.
_IMAGE = re.compile(r"\.(bmp|dib|gif|jfif?|jif|jpe|jpe?g|png|tiff?|webp)")
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
# Folders that systems make, in lower case.
_OF_SYSTEMS = {"__macosx", "__pycache__", "@eadir", "#recycle", "$recycle.bin"}
_OF_SYSTEMS |= {"lost+found", "system volume information"}
_MAX_KINDS, _MAX_ENDING = 10, 8


@dataclasses.dataclass
class Files:
    """The image files of a split, class by class."""

    paths: list[str]
    labels: np.ndarray  # int64, the index of each one's class

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: np.ndarray) -> Files:
        return Files([self.paths[i] for i in indices], self.labels[indices])


def list_files(
    root: pathlib.Path, test_fraction: float
) -> tuple[tuple[str, ...], dict[str, Files], list[str]]:
    """Finds the images of a folder in any of the layouts of docs/images.md.

    Returns the classes' names, the files of the splits "train", "test" and perhaps
    "validation", and what is not as it could be, a phrase each.
    """
    left_out, notes = collections.Counter(), []
    inside = _look_into(root, left_out)
    folders = _split_folders(root, inside, notes)
    found = {}
    for split, name in folders.items():
        folder = root / name
        names = _look_into(folder, left_out) if name else inside
        above = {root, folder, *root.resolve().parents}
        found[split] = {n: _find_images(folder / n, above, left_out) for n in names}
    empty = [repr(name) for name, paths in found["train"].items() if not paths]
    if empty:
        notes.append(f"without images: {listed(empty)}")
    mixed = [
        repr(name)
        for name, paths in found["train"].items()
        if _has_splits_inside(root / folders["train"] / name, paths)
    ]
    if mixed:
        notes.append(
            f"`train` and `test` inside of classes, taken together: {listed(mixed)}"
        )
    found = {
        split: {name: paths for name, paths in classes.items() if paths}
        for split, classes in found.items()
    }
    train, train_folder = found["train"], root / folders["train"]
    if len(train) < 2:
        raise fail(
            f"{str(train_folder)!r} must hold one sub-folder of images a class, and at "
            "least two classes.",
            classes=list(train),
            **({"left_out": _counted(left_out)} if left_out else {}),
        )
    check_names("classes", list(train))
    for split in ("validation", "test"):
        if split in found and not found[split]:
            notes.append(f"no class with images in {folders[split]!r}")
            del found[split]
        elif split in found:
            _match(folders[split], found[split], train, notes)
    if "test" not in found and "validation" in found:
        found["test"] = found.pop("validation")
    if "test" not in found:
        found |= _hold_out(train, train_folder, test_fraction)
    if left_out:
        notes.insert(0, f"left out: {_counted(left_out)}")
    splits = {name: _files(classes, train) for name, classes in found.items()}
    return tuple(train), splits, notes


def list_images(root: pathlib.Path) -> tuple[list[str], list[str]]:
    """Returns all images in a folder, at any depth, and notes about what is not."""
    left_out = collections.Counter()
    paths = _find_images(root, set(root.resolve().parents), left_out)
    return paths, [f"left out: {_counted(left_out)}"] if left_out else []


def _look_into(folder, left_out):
    """Returns the names of the folders in a folder, and counts images beside them."""
    names = []
    for entry in os.scandir(folder):
        kind = _kind(entry)
        if kind == "folder":
            names.append(entry.name)
        elif kind == "image":
            left_out["images outside of the classes' folders"] += 1
        elif kind.endswith("/"):
            left_out[kind] += 1
    return sorted(names)


def _split_folders(root, names, notes):
    """Returns the name of each split's folder, "" if `root` holds the classes."""
    found = {
        split: [name for name in names if name.lower() in called]
        for split, called in _SPLITS.items()
    }
    found = {split: folders for split, folders in found.items() if folders}
    found = found or _similar(root, names)
    known = set().union(*found.values())
    others = [repr(name) for name in names if name not in known]
    if not found or (others and "train" in found and _is_class(root, found["train"])):
        return {"train": ""}
    if "train" not in found:
        raise fail(
            f"A folder that holds {next(iter(found.values()))[0]!r} must also hold "
            "'train'.",
            data_dir=str(root),
        )
    for split, folders in found.items():
        if len(folders) > 1:
            raise fail(f"One folder must hold the {split} images.", folders=folders)
    if others:
        notes.append(f"not used: {listed(others)}")
    return {split: folders[0] for split, folders in found.items()}


def _similar(root, names):
    """Returns the folders of splits called `training_set`, `seg_test` and the like.

    They hold folders and no images, unlike everything beside them.
    """
    found = {}
    for name in names:
        if _holds(root / name, "folder", "image"):
            words = re.findall("[a-z]+", name.lower().replace("set", " "))
            splits = [s for s, called in _SPLITS.items() if {*called} & {*words}]
            found.setdefault(splits[0] if splits else "", []).append(name)
    return found if "train" in found and len(found) > 1 and "" not in found else {}


def _is_class(root, folders):
    """Returns whether a folder called "train" holds images of trains."""
    return _holds(root / folders[0], "image", "folder")


def _holds(folder, kind, other):
    """Returns whether a folder holds something of one kind and nothing of another."""
    kinds = set(map(_kind, os.scandir(folder)))
    return kind in kinds and other not in kinds


def _has_splits_inside(folder, paths):
    """Returns whether images of a class are in folders called "train" and "test"."""
    start = len(os.path.join(folder, ""))
    inside = {path[start:].partition(os.sep)[0].lower() for path in paths}
    return sum(not inside.isdisjoint(called) for called in _SPLITS.values()) > 1


def _find_images(folder, above, left_out):
    """Returns the sorted images at any depth, and counts what is no image.

    Links are followed, but no folder is entered twice, nor one of those `above`.
    """
    entered, images, to_enter = set(map(_identity, above)), [], [str(folder)]
    while to_enter:
        here = to_enter.pop()
        if _identity(here) in entered:
            left_out["links to folders above or already read"] += 1
            continue
        entered.add(_identity(here))
        for entry in os.scandir(here):
            kind = _kind(entry)
            if kind == "folder":
                to_enter.append(entry.path)
            elif kind == "image":
                images.append(entry.path)
            else:
                left_out[kind] += 1
    return sorted(images)


def _identity(folder):
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _kind(entry):
    """Returns "image", "folder", or the kind of what is left out."""
    name, link = entry.name, entry.is_symlink()
    # The entry's own methods raise for a link to itself.
    is_folder = os.path.isdir(entry.path) if link else entry.is_dir()
    if is_folder and name.lower() in _OF_SYSTEMS:
        return f"{name}/"
    if name.startswith("."):
        return "hidden"
    if is_folder:
        return "folder"
    if not (os.path.isfile(entry.path) if link else entry.is_file()):
        return "pipes or broken links"
    ending = os.path.splitext(name)[1].lower()
    if _IMAGE.fullmatch(ending):
        return "image"
    short = ending[1:].isalnum() and ending.isascii() and len(ending) <= _MAX_ENDING
    return ending if short else "of other endings"


def _counted(kinds):
    pairs = sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))
    texts = [f"{number:,} {kind}" for kind, number in pairs[:_MAX_KINDS]]
    more = sum(number for _, number in pairs[_MAX_KINDS:])
    return ", ".join([*texts, f"{more:,} others"] if more else texts)


def _match(name, classes, train, notes):
    """Raises if a split holds classes that are not trained on."""
    only_here, only_in_train = classes.keys() - train.keys(), train.keys() - classes
    if only_here:
        raise fail(
            f"Every class in {name!r} must have images to train on.",
            **{f"only_in_{name}": sorted(only_here)},
            only_in_train=sorted(only_in_train),
        )
    if only_in_train:
        notes.append(
            f"no images in {name!r} of {listed([repr(each) for each in only_in_train])}"
        )


def _hold_out(classes, folder, fraction):
    """Divides each class into train and test by the hashes of its files' names."""
    single = [name for name, paths in classes.items() if len(paths) < 2]
    if single:
        raise fail(
            "Every class needs at least 2 images, one to train on and one to test on.",
            classes_with_one_image=single,
        )

    def hashed(path):
        return hashlib.sha256(os.fsencode(os.path.relpath(path, folder))).digest()

    train, test = {}, {}
    for name, paths in classes.items():
        number = min(max(1, round(fraction * len(paths))), len(paths) - 1)
        held_out = set(sorted(paths, key=hashed)[:number])
        train[name] = [path for path in paths if path not in held_out]
        test[name] = [path for path in paths if path in held_out]
    return {"train": train, "test": test}


def _files(classes, names):
    """Returns the files of a split, labelled by the place of their class in `names`."""
    groups = [classes.get(name, []) for name in names]
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return Files([path for group in groups for path in group], labels)
