"""Recognition of train, val and test by their names, among the top folders and among other splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from core.errors import UserError, named
from training.data.class_names import look_of
from training.data.file_tree import FileTree, joined
from training.data.listing import NO_REMARKS, Remarks

_TRAIN, _VAL, _TEST = "train", "val", "test"
#: Word in a folder's name → the splits that it may mean, the likelier first.
_MEANINGS = {
    **dict.fromkeys(("train", "training", "trn"), (_TRAIN,)),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development"), (_VAL,)),
    **dict.fromkeys(("eval", "evaluation"), (_VAL, _TEST)),
    **dict.fromkeys(("test", "testing", "tests", "holdout"), (_TEST,)),
}
_FILLERS = {"set", "data", "dataset", "images", "image", "imgs", "img", "split", "folder", "seg"}
_ENDINGS = ("dataset", "set", "data")


@dataclass(frozen=True)
class SplitFolders:
    """The places that images are in.

    Attributes:
        folders: split → name of the folder or split, in the order train, val, test; where Minnow splits,
            "" → what it splits.
        problems: what makes the data set unusable, one line each.
        remarks: how the folders were taken.
    """

    folders: Mapping[str, str]
    problems: tuple[str, ...]
    remarks: Remarks

    @property
    def given(self) -> dict[str, str]:
        """Split → name, of the splits that the data set itself has."""
        return {split: folder for split, folder in self.folders.items() if split}


def find_split_folders(tree: FileTree) -> SplitFolders:
    """Return the splits of a data set.

    A folder called "train" may hold pictures of trains: it is a split only where every folder is
    one, or where it holds folders and stands beside test/ or val/. A split without labels is left out.

    Raises:
        UserError: two folders are the same split; a folder cannot be read.
    """
    top = tree.folder().folders
    meanings = {name: meaning for name in top if (meaning := split_meanings(name))}
    all_known = len(meanings) == len(top)
    if not meanings or not (all_known or _beside_train(tree, meanings)):
        return SplitFolders({"": ""}, (), Remarks((), (*_loose(tree, ""), *_same_subfolders(tree))))
    found = _assigned(tree, meanings)
    notes = []
    if _TRAIN in found:
        for split in (_VAL, _TEST):
            if split in found and (reason := _unlabelled(tree, found[split], found[_TRAIN])):
                notes.append(f"{found.pop(split)}/ is left out: {reason}")
    splits = complete_splits(found, lambda name: f"{name}/")
    warnings = [line for folder in ("", *splits.folders.values()) for line in _loose(tree, folder)]
    unused = [f"{name}/" for name in top if name not in meanings]
    if unused:
        warnings.append(f"not used, since they stand beside the splits of the data: {named(unused)}")
    remarks = Remarks(tuple(notes), tuple(warnings))
    return SplitFolders(splits.folders, splits.problems, remarks + splits.remarks)


def complete_splits(found: Mapping[str, str], words: Callable[[str], str]) -> SplitFolders:
    """Return the splits of data that lack one or two of the three.

    Args:
        found: split → name, of the splits with labels, in the order train, val, test.
        words: turns a name into words, as in ``train/``.
    """
    found = dict(found)
    places = ", ".join(sorted(map(words, found.values())))
    if _TRAIN not in found:
        return SplitFolders(found, (f"there is no {words(_TRAIN)} beside {places}",), NO_REMARKS)
    train = words(found[_TRAIN])
    note = ""
    if _TEST not in found and _VAL in found:
        found = {_TRAIN: found[_TRAIN], _TEST: found[_VAL]}
        note = (
            f"there is no {words(_TEST)}: {words(found[_TEST])} is what is tested at the end, and some "
            f"images of {train} validate"
        )
    elif _TEST not in found:
        found = {"": found[_TRAIN]}
        note = f"without a labelled {words(_TEST)} some images of {train} validate and others test"
    elif _VAL not in found:
        note = f"there is no {words(_VAL)}: some images of {train} validate"
    return SplitFolders(found, (), Remarks((note,) if note else ()))


def splits_by_name(names: Iterable[str]) -> dict[str, str]:
    """Return name → split of the names that mean one; several may mean the same."""
    meanings = {name: meaning for name in names if (meaning := split_meanings(name))}
    clear = {meaning[0] for meaning in meanings.values() if len(meaning) == 1}
    return {
        name: next((split for split in meaning if len(meaning) == 1 or split not in clear), meaning[0])
        for name, meaning in meanings.items()
    }


def split_meanings(name: str) -> tuple[str, ...]:
    """Return the splits that a name such as ``Training`` or ``test_set`` may mean, the likelier first."""
    words = [word for word in re.split(r"[\W_]+", name.casefold()) if word and word not in _FILLERS]
    if len(words) != 1:
        return ()
    shorter = [words[0].removesuffix(ending) for ending in ("", *_ENDINGS)]
    return next((_MEANINGS[word] for word in shorter if word in _MEANINGS), ())


def _beside_train(tree: FileTree, meanings: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether there are train/ with folders in it and another split."""
    trains = [name for name, meaning in meanings.items() if meaning == (_TRAIN,)]
    return len(trains) < len(meanings) and any(tree.folder(name).folders for name in trains)


def _assigned(tree: FileTree, meanings: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return split → folder. A name of two meanings has the first that no other folder has."""
    found: dict[str, str] = {}
    for name in sorted(meanings, key=lambda name: (len(meanings[name]), name)):
        free = [split for split in meanings[name] if split not in found]
        if not free:
            other = found[meanings[name][0]]
            raise UserError(f"{tree.root} has both {other}/ and {name}/: keep one of them")
        found[free[0]] = name
    return {split: found[split] for split in (_TRAIN, _VAL, _TEST) if split in found}


def _unlabelled(tree: FileTree, folder: str, train: str) -> str | None:
    """Return why the images of a split have no labels; ``None``: they have."""
    content = tree.folder(folder)
    classes = {look_of(name) for name in tree.folder(train).folders}
    if not classes or classes & {look_of(name) for name in content.folders}:
        return None
    if content.images:
        return f"its images ({len(content.images):,}) are in no class folders"
    if len(content.folders) == 1:
        return f"its only folder, {content.folders[0]!r}, is none of the classes"
    return None


def _loose(tree: FileTree, folder: str) -> list[str]:
    """Return a warning about images beside the class folders."""
    content = tree.folder(folder)
    if not content.images or not content.folders:
        return []
    names = named([joined(folder, name) for name in content.images])
    return [f"not used, since they are in no class folder ({len(content.images):,}): {names}"]


def _same_subfolders(tree: FileTree) -> list[str]:
    """Return a warning where the top folders look like splits, and their subfolders like classes."""
    top = {name: tree.folder(name) for name in tree.folder().folders}
    if len(top) < 2 or any(content.images for content in top.values()):
        return []
    common = set.intersection(*({look_of(n) for n in content.folders} for content in top.values()))
    if len(common) < 2:
        return []
    shown = [repr(name) for name in next(iter(top.values())).folders if look_of(name) in common]
    return [
        f"the top folders {named([repr(name) for name in top])} are taken for the classes, and all of "
        f"them hold the same folders {named(shown)}: if those are the classes, call the top folders "
        "train, val and test"
    ]
