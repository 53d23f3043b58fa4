"""Complete copies of the data sets that users have, with few images.

Each function writes into a folder and returns it.
"""

import os

import numpy as np
from PIL import Image, ImageDraw


def save(path, color=(100, 50, 9), size=(12, 12)):
    """Writes an image of one colour, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def pets(root):
    """Two classes, two training images and one test image each."""
    for name in ("cat", "dog"):
        for place in (f"train/{name}/a", f"train/{name}/b", f"test/{name}/c"):
            save(root / f"{place}.jpg")
    return root


# RAF-DB: surprise .. neutral; all different, so that a permutation can be recognized.

RAF_DB_COUNTS = {"train": (3, 1, 2, 6, 5, 4, 7), "test": (1, 3, 2, 4, 7, 5, 6)}
RAF_DB_LIST = "basic/EmoLabel/list_patition_label.txt"
ALIGNED = "basic/Image/aligned"


def raf_db(root, relabel=lambda label: label):
    """The basic set; labels are from 1, and a tenth of the red of an image is three."""
    lines = []
    for split, counts in RAF_DB_COUNTS.items():
        for number, label in enumerate(np.repeat(range(1, 8), counts).tolist(), 1):
            name = f"{split}_{number:05d}"
            save(root / ALIGNED / f"{name}_aligned.jpg", (30 * label, 100, 200))
            lines.append(f"{name}.jpg {relabel(label)}\n")
    (root / RAF_DB_LIST).parent.mkdir(exist_ok=True)
    (root / RAF_DB_LIST).write_text("".join(lines))
    return root


def raf_db_people(root):
    """What annotators left beside it: a file for each image, points and three numbers.

    Returns image -> the numbers, of gender, race and age.
    """
    folder, people = root / "basic/Annotation/manual", {}
    folder.mkdir(parents=True)
    for i, line in enumerate((root / RAF_DB_LIST).read_text().splitlines()):
        name, numbers = line.split(".")[0], (i % 3, i % 2, i % 5)
        points = [f"{30 + k}.5\t{40 - k}" for k in range(5)]
        lines = [*points, *map(str, numbers), ""]
        (folder / f"{name}_manu_attri.txt").write_text("\n".join(lines))
        people[f"aligned/{name}_aligned.jpg"] = numbers
    return people


USAGES = ("Training", "PublicTest", "PrivateTest")
_RNG = np.random.default_rng(0)
# Usage, label and pixels: two images a class and split, all different.
FER2013_ROWS = [
    (usage, label, _RNG.integers(0, 256, (48, 48), np.uint8))
    for usage in USAGES
    for label in range(7)
    for _ in range(2)
]


def fer2013(root, rows=FER2013_ROWS, name="fer2013.csv"):
    """A table, with columns in the order that one of this name has."""
    form = "{0},{1},{2}" if name == "fer2013.csv" else "{0}, {2}, {1}"
    append(root / name, form.format("emotion", "pixels", "Usage"))
    for usage, label, pixels in rows:
        values = " ".join(map(str, pixels.flat))
        append(root / name, form.format(label, values, usage))
    return root


FERPLUS_HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,"
    "unknown,NF"
)
NO_MAJORITY = (4, 0, 0, 1, 3, 2, 0, 0, 0, 0)
# FER2013's number of each class of FER+; it has no contempt.
EMOTIONS = (6, 3, 5, 4, 0, 1, 2, 0)


def _ferplus_rows():
    """Usage, image name, votes, grey value; each class once or more per split.

    The names say nothing, but that an image has one; without, votes do not count.
    """
    no_face, of_sadness = (*[0] * 9, 10), (0, 0, 0, 9, 0, 0, 0, 0, 0, 1)
    rows = [("Training", "", no_face, 255), ("Training", "x", NO_MAJORITY, 254)]
    for start, usage in enumerate(USAGES):
        for number, label in enumerate((0, 1, *range(1, 8))):
            votes = (*(9 * (k == label) for k in range(8)), 0, 1)
            rows.append((usage, "x", votes, 80 * start + 8 * number))
    return [*rows[:-3], ("PrivateTest", "", of_sadness, 253), *rows[-3:]]


FERPLUS_ROWS = _ferplus_rows()


def ferplus(root, rows=FERPLUS_ROWS, emotions=EMOTIONS):
    """The tables of images, of one grey each or as it is given, and of votes."""
    images = [
        (usage, emotions[np.argmax(votes[:8])], grey + np.zeros((48, 48), int))
        for usage, _, votes, grey in rows
    ]
    fer2013(root, images)
    append(root / "fer2013new.csv", FERPLUS_HEADER)
    for usage, name, votes, _ in rows:
        append(root / "fer2013new.csv", ",".join(map(str, (usage, name, *votes))))
    return root


def affectnet(root):
    """The newer release: two images of each label in train_set, one in val_set."""
    for folder, repeats in (("train_set", 2), ("val_set", 1)):
        for label in [*range(11)] * repeats:
            annotate(root / folder, label)
    return root


def annotate(folder, label):
    """Adds an image with a label to a set of the newer release; returns both files."""
    annotations = folder / "annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    stem = str(len(os.listdir(annotations)))
    path, annotation = folder / f"images/{stem}.jpg", annotations / f"{stem}_exp.npy"
    save(path, (20 * label, 100, 200))
    np.save(annotation, np.array(str(label)))  # the release holds strings
    np.save(annotations / f"{stem}_val.npy", np.array("0.5"))
    return path, annotation


AFFECTNET_COLUMNS = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,"
    "expression,valence,arousal"
)
FACE = (200, 40, 90)


def older_affectnet(root):
    """The older release: two images of each label in one list, one in the other."""
    for name, repeats in (("training.csv", 2), ("validation.csv", 1)):
        append(root / name, AFFECTNET_COLUMNS)
        for k, label in enumerate([*range(11)] * repeats):
            image = photograph(root, f"{name[0]}{k}.jpg")
            # Where there is no face, there is no box either.
            box = (20, 10, 30, 40) if label < 8 else ("NULL",) * 4
            append(root / name, row(image, box, label))
    return root


def photograph(root, name):
    """Writes a picture of 100x80 with a face; returns its name in the lists."""
    image = Image.new("RGB", (100, 80), (10, 220, 10))
    ImageDraw.Draw(image).rectangle((20, 10, 69, 59), fill=FACE)
    path = root / "Manually_Annotated_Images/12" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95, subsampling=0)
    return f"12/{name}"


def row(image, box, label):
    """A line of a list of the older release."""
    return ",".join([image, *map(str, box), "1.5;2.5;3.5", str(label), "0.1", "-0.2"])


def append(path, line):
    path.parent.mkdir(exist_ok=True)
    with open(path, "a") as file:
        file.write(f"{line}\n")
