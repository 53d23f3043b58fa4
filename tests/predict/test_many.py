"""The manual's worker for engines, without them."""

import io
import pathlib
import sys
import types
from unittest import mock

import pandas
import pytest
from manuals import snippet

import qcs_jax

MANUAL = pathlib.Path(qcs_jax.__file__).parent / "predict/many.md"


@pytest.fixture
def worker(classifier, monkeypatch):
    """What the manual's first block defines; it loads a network of the tests."""
    monkeypatch.setattr(qcs_jax, "load", lambda: classifier, raising=False)
    names = {}
    exec(snippet(MANUAL, "The worker"), names)
    return names


@pytest.fixture
def batch(two, portrait, flower):
    files = {"b/two.png": two.read_bytes(), "text": b"no image", "null": None}
    for name, image in (("portrait.jpg", portrait), ("flower.jpg", flower)):
        image.save(file := io.BytesIO(), "JPEG")
        files[name] = file.getvalue()
    files["cut.jpg"] = files["portrait.jpg"][:2000]
    return pandas.DataFrame({"path": files.keys(), "bytes": files.values()})


def test_a_row_for_each_face_and_failure(worker, batch, classifier):
    table = worker["Faces"]()(batch)
    faces = table[table["error"].isna()]
    assert faces["file"].tolist() == ["b/two.png", "b/two.png", "portrait.jpg"]
    photos = classifier.predict_photos(batch["bytes"][[0, 3]])
    expected = qcs_jax.to_pandas(photos).drop(columns="file")
    pandas.testing.assert_frame_equal(
        faces.drop(columns="file").reset_index(drop=True), expected
    )
    errors = table[table["error"].notna()].set_index("file")["error"].to_dict()
    assert errors.pop("flower.jpg") == "no face"
    assert errors.keys() == {"text", "null", "cut.jpg"} and all(errors.values())


def test_every_part_has_the_same_columns(worker, batch):
    faces = worker["Faces"]()
    types = faces(batch).dtypes
    heads = [*qcs_jax.Photograph.COLUMNS, *faces.classifier.class_names, "error"]
    assert types.index.tolist() == heads
    for part in (batch[:0], batch[1:2], batch[3:4], batch[4:5]):
        assert faces(part).dtypes.equals(types)


def test_spark_is_given_what_it_calls_and_the_columns_that_come(worker, batch):
    spark = mock.MagicMock()
    exec(snippet(MANUAL, "Spark"), worker | {"spark": spark})
    chosen = spark.read.format.return_value.load.return_value.select
    classify, columns = chosen.return_value.mapInPandas.call_args.args
    parts = [batch[:2], batch[2:]]
    answers = [*classify(x.rename(columns={"bytes": "content"}) for x in parts)]
    table = pandas.concat(answers, ignore_index=True)
    pandas.testing.assert_frame_equal(table, worker["Faces"]()(batch))
    named = [column.split()[0].strip("`") for column in columns.split(", ")]
    assert named == [*table.columns]


def test_beam_is_given_rows(worker, batch, monkeypatch):
    beam = mock.MagicMock(DoFn=object)
    monkeypatch.setitem(sys.modules, "apache_beam", beam)
    monkeypatch.setitem(sys.modules, "apache_beam.io", beam.io)
    exec(snippet(MANUAL, "Beam"), worker)
    finder = worker["FindFaces"]()
    finder.setup()
    files = [
        types.SimpleNamespace(
            metadata=types.SimpleNamespace(path=path), read=lambda data=data: data
        )
        for path, data in batch.itertuples(index=False)
    ]
    rows = [*finder.process(files)]
    assert [row["file"] for row in rows][:2] == ["b/two.png", "b/two.png"]
    assert rows[0]["error"] is None and rows[2]["left"] is None
    assert type(rows[0]["face"]) is int and type(rows[0]["left"]) is float
