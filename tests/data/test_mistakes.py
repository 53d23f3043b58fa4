"""Copies that only look like a data set: each mistake is named, with the mend."""

import subprocess

import copies
import pytest

WRITE = {
    "raf_db": copies.raf_db,
    "fer2013": copies.fer2013,
    "ferplus": copies.ferplus,
    "affectnet/8": copies.affectnet,
    "older affectnet/8": copies.older_affectnet,
    "image_folder": copies.pets,
}
HOW_TO_OBTAIN = {
    "raf_db": "http://www.whdeng.cn/RAF/model1.html",
    "fer2013": "https://www.kaggle.com/c/",
    "ferplus": "https://github.com/microsoft/FERPlus",
    "affectnet/8": "http://mohammadmahoor.com/pages/databases/affectnet/",
}


@pytest.fixture
def damaged(tmp_path):
    """Writes a copy and runs shell commands in it."""

    def write(kind, damage):
        root = WRITE[kind](tmp_path / "copy")
        damage = damage.replace("LIST", copies.RAF_DB_LIST)
        subprocess.run(damage, shell=True, cwd=root, check=True)
        return root

    return write


MISSING = [
    ("raf_db", "rm -r ../copy", "is not a folder"),
    ("raf_db", "rm -r basic", "label.txt is missing"),
    ("raf_db", "rm -r basic/Image/aligned", "unpack aligned.zip (not original"),
    ("raf_db", "mv basic compound", "holds only the compound set"),
    ("fer2013", "rm *", "has no fer2013.csv or icml_face_data.csv, and no folder"),
    ("fer2013", "sed -i /Training/d fer2013.csv", "no image of the split 'train'"),
    ("ferplus", "rm fer2013.csv", "fer2013.csv is missing"),
    ("ferplus", "rm fer2013new.csv", "fer2013new.csv is missing"),
    ("affectnet/8", "rm -r *", "holds neither train_set nor training.csv"),
    ("older affectnet/8", "rm validation.csv", "validation.csv is missing."),
    ("older affectnet/8", "rm -r Man*", "Manually_Annotated_Images is missing."),
    ("affectnet/8", "rm -r val_set", "val_set/images is missing."),
]
SAD = "train/sad"
FRACTION = "image_folder --test_fraction=0.2"


@pytest.mark.parametrize(
    ("command", "damage", "message"),
    [
        *MISSING,
        ("raf_db", "echo test_1.jpg 8 >> LIST", "8 belongs to the compound set"),
        ("raf_db", "echo test_1.jpg 12 >> LIST", "label 12 is not in 1..7"),
        ("raf_db", "echo train_00001.jpg 3 >> LIST", "57: train_00001.jpg is listed"),
        ("raf_db", "echo ../train_1.jpg 3 >> LIST", "not like 'train_00001.jpg 5'"),
        ("raf_db", "rm basic/Image/*/test_00001*", "no readable image of class 'surp"),
        ("fer2013", "echo 7,1,Training >> fer2013.csv", "44: the emotion '7' is not"),
        ("fer2013", "echo 0,1,Test >> fer2013.csv", "the usage 'Test' is none of Trai"),
        ("fer2013", "echo 0,1,2,Training >> fer2013.csv", "line 44: has 4 fields: use"),
        ("fer2013", "echo id,label > fer2013.csv", "columns id, label instead of emot"),
        ("fer2013", "rm *; mkdir -p train/joy", "joy is no class of FER2013"),
        ("fer2013", f"rm *; mkdir -p {SAD}; touch {SAD}/PrivateTest_1.png", "lies in"),
        ("ferplus", "echo 0,1,Training >> fer2013.csv", "has 31 rows and fer2013new"),
        ("ferplus", "sed -i '2{h;d};$G' fer2013.csv", "not in the same order, line 12"),
        ("ferplus", "sed -i s/fear/joy/ fer2013new.csv", "csv begins with 'Usage"),
        *(
            ("ferplus", f"echo {x} >> fer2013new.csv", "is not usage, image name")
            for x in ("", "x,a.png,1,2,3", f"x,y{',x' * 10}", f"x,y{',1' * 11}")
        ),
        ("affectnet/8", "touch training.csv", "both releases"),
        ("image_folder", "rm -r ../copy", "is not a folder: give --manual_dir"),
        ("image_folder", "rm -r train", "has no folder 'train'"),
        ("image_folder", "rm -r train/dog", "has only the class 'cat'"),
        ("image_folder", "mkdir test/emu", "only test has ['emu']"),
        ("image_folder", "rm test/dog/*", "test/dog has no images"),
        ("image_folder", "echo x > test/dog/c.jpg", "test/dog is readable"),
        ("image_folder", "mkdir train/cat/kitten", "inside a class folder"),
        ("image_folder", "cp test/cat/c.jpg train", "outside the class folders"),
        ("image_folder", "mv train/* .; rm -r t*", "add --test_fraction"),
        ("image_folder", "rm -r test", "/copy/train --test_fraction=0.2"),
        (FRACTION, "true", "has train and test: leave out --test_fraction"),
        (FRACTION[:-3] + "nan", "mv train/* .; rm -r t*", "between 0 and 1"),
    ],
)
def test_the_mistake_is_named(damaged, refuse, command, damage, message):
    """In one line; where something is missing, others tell where to get it."""
    kind, *flags = command.split(" --")
    root, name = damaged(kind, damage), kind.removeprefix("older ")
    first, *rest = refuse(name, root, *(f"--{x}" for x in flags)).splitlines()
    assert message in first
    assert bool(rest) == ((command, damage, message) in MISSING)
    assert not rest or HOW_TO_OBTAIN[name] in "\n".join(rest)


BOX = (20, 10, 30, 40)
BAD_ROWS = {
    "12/t0.jpg,1,2,3": "training.csv, line 24\t4 columns instead of 9",
    copies.row("12/t0.jpg", BOX, "happy"): "label 'happy' is not in 0..10",
    copies.row("12/t0.jpg", BOX, 1.5): "label '1.5' is not in 0..10",
    copies.row("../../secret.jpg", BOX, 1): "'../../secret.jpg' leads elsewhere",
    copies.row("/etc/passwd", BOX, 1): "'/etc/passwd' leads elsewhere",
    copies.row("12/gone.jpg", BOX, 1): "No such file or directory",
    copies.row("12/t0.jpg", (500, 10, 30, 40), 1): "has no part of the image",
}
GREY = "7 " * 2303
BAD_PIXELS = {
    "": "0 pixels",
    f"{GREY} 7 7": "2,305 pixels instead of 2,304",
    **{GREY + x: "pixels that are not numbers in 0..255" for x in ("256", "-1", "x")},
}


@pytest.mark.parametrize(
    ("kind", "damage", "reasons", "total"),
    [
        (
            "raf_db",
            "cd basic/Image/aligned; rm train_00001*; echo x > test_00002_aligned.jpg",
            ["train_00001_aligned.jpg\tNo such file", "00002_aligned.jpg\tnot a J"],
            "27 12,271 27 3,068",
        ),
        (
            "fer2013",
            "\n".join(f"echo 1,{x},Training >> fer2013.csv" for x in BAD_PIXELS),
            [f"line {n}\t{x}" for n, x in enumerate(BAD_PIXELS.values(), start=44)],
            "14 28,709 14 3,589 14 3,589",
        ),
        (
            "ferplus",
            "sed -i '5s/,[0-9 ]*,/,1 2,/' fer2013.csv",
            ["fer2013.csv, line 5\t2 pixels instead of 2,304"],
            "8 25,060 9 3,199 9 3,153",
        ),
        (
            "affectnet/8",
            "rm train_set/annotations/0_exp.npy train_set/images/2.jpg "
            "train_set/images/18.jpg",  # the last is no expression: nobody wants it
            ["annotations/0_exp.npy\tNo such file", "images/2.jpg\tNo such file"],
            "14 287,651 8 4,000",
        ),
        (
            "older affectnet/8",
            "\n".join(f"echo '{row}' >> training.csv" for row in BAD_ROWS)
            + "\ncp Manually_Annotated_Images/12/t0.jpg ../secret.jpg",
            BAD_ROWS.values(),
            "16 287,651 8 4,000",
        ),
        (
            "image_folder",
            "cd train/cat; head -c 300 a.jpg > cut.jpg; ln -s nowhere gone.jpg; "
            "echo hello > text.jpg; touch void.jpg",
            [
                "cut.jpg\tcannot be",
                "gone.jpg\tNo",
                "text.jpg\tnot a",
                "void.jpg\tempty",
            ],
            "4 2",
        ),
    ],
)
def test_unreadable_images_are_listed_and_limited(
    damaged, prepare, refuse, tmp_path, kind, damage, reasons, total
):
    root, name = damaged(kind, damage), kind.removeprefix("older ")
    name += "/copy" * (kind == "image_folder")
    report = tmp_path / "prepared" / name / "unreadable.txt"
    count = len(reasons)
    error = refuse(name, root, f"--max_unreadable={count - 1}")
    assert f"{count} images are unreadable, {count - 1} are tolerated" in error
    assert str(report) in error
    text = report.read_text()
    assert len(text.splitlines()) == count and all(x in text for x in reasons)
    out = prepare(name, root, f"--max_unreadable={count}")
    assert f"skipped {count} unreadable images, listed in {report}" in out
    [line] = [line.split() for line in out.splitlines() if line.startswith("total")]
    assert " ".join(line[1:]) == total
    refuse(name, root, "--overwrite", "--max_unreadable=0")  # the old data stay


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("faces", "choose one of synthetic_faces, image_folder"),
        ("synthetic_faces/odd", "one of synthetic_faces/balanced, synthetic_faces/bi"),
        ("synthetic_faces --manual_dir=x", "needs no --manual_dir"),
        ("synthetic_faces --test_fraction=0.2", "is for image_folder: leave it out"),
        ("raf_db", "needs --manual_dir=FOLDER, your copy of it.\nExpected is"),
        ("raf_db/7", "raf_db has no configs: leave out /7"),
        ("affectnet", "needs a config: choose one of affectnet/7, affectnet/8"),
        ("image_folder", "needs --manual_dir=FOLDER"),
        ("image_folder/a --manual_dir=x --name=b", "give only one"),
        ("image_folder --manual_dir=x --name=A-b", "a-z, 0-9 and _"),
        ("image_folder --manual_dir=/", "no name can be made of /"),
    ],
)
def test_arguments(refuse, args, message):
    assert message in refuse(*args.split())
