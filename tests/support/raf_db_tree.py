"""The official tree of RAF-DB, with few images."""

from PIL import Image

# Surprise .. neutral; all different, so that a permutation can be recognized.
COUNTS = {"train": (3, 1, 2, 6, 5, 4, 7), "test": (1, 3, 2, 4, 7, 5, 6)}


def color(label):
    return (30 * label, 100, 200)


def write(root, kind="basic", relabel=lambda label: label):
    """Writes the official tree; labels from 1."""
    aligned = root / kind / "Image/aligned"
    aligned.mkdir(parents=True)
    (root / kind / "EmoLabel").mkdir()
    lines = []
    for split, counts in COUNTS.items():
        labels = [k for k, n in enumerate(counts, start=1) for _ in range(n)]
        for number, label in enumerate(labels, start=1):
            name = f"{split}_{number:05d}"
            image = Image.new("RGB", (10, 10), color(label))
            image.save(aligned / f"{name}_aligned.jpg")
            lines.append(f"{name}.jpg {relabel(label)}")
    list_file(root, kind).write_text("\n".join(lines) + "\n")


def list_file(root, kind="basic"):
    return root / kind / "EmoLabel/list_patition_label.txt"


def write_attributes(root, kind="basic"):
    """As annotators left them: a file for each image, five points, three numbers."""
    folder = root / kind / "Annotation/manual"
    folder.mkdir(parents=True)
    values = {}
    for i, line in enumerate(list_file(root, kind).read_text().splitlines()):
        name = line.split(".")[0]
        values[f"aligned/{name}_aligned.jpg"] = (i % 3, i % 2, i % 5)
        points = "".join(f"{30 + k}.5\t{40 - k}\n" for k in range(5))
        numbers = "\n".join(map(str, values[f"aligned/{name}_aligned.jpg"]))
        (folder / f"{name}_manu_attri.txt").write_text(points + numbers + "\n")
    return folder, values
