import pytest

from tfsupermask._validation import InputError
from tfsupermask.export import Classifier, check_format, export_model, is_export
from tfsupermask.tickets import load_ticket

from .conftest import MEAN, NAMES, STD, conv2, refused_conv2, uint8_images


@pytest.mark.parametrize(
    ("name", "precision", "suffix"),
    [
        ("a/model", "float32", ""),
        ("conv6-0.5", "float32", ""),
        ("m.keras", "float32", ".keras"),
        ("m.onnx", "float32", ".onnx"),
        ("m.v2.tflite", "int8", ".tflite"),
        ("m.tflite", "float16", ".tflite"),
        ("m.ticket", "bfloat16", ".ticket"),
    ],
)
def test_the_name_decides(name, precision, suffix):
    assert check_format(name, precision) == suffix


@pytest.mark.parametrize("name", ["gs://bucket/model", "s3://bucket/m.keras"])
def test_addresses_are_not_taken_for_folders(name):
    with pytest.raises(InputError, match=f"on this machine.*output='{name}'"):
        check_format(name, "float32")


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        ("m.lite", "float32", "must end in"),
        ("m.h5", "float32", r"\.keras, \.tflite, \.onnx or \.ticket.*m\.h5"),
        ("m.ONNX", "float32", "must end in"),
        ("m", "float16", "of a SavedModel must be one of float32.*'float16'"),
        ("m.onnx", "int8", r"of \.onnx must be one of float32"),
        ("m.ticket", "int8", r"of \.ticket must be one of float32, float16, bfloat16"),
        ("m.tflite", "bfloat16", r"of \.tflite must be one of float32, float16, int8"),
    ],
)
def test_combinations_that_do_not_exist(tmp_path, name, precision, message):
    with pytest.raises(InputError, match=message):
        export_model(refused_conv2(), tmp_path / name, precision=precision)
    assert list(tmp_path.iterdir()) == []


NAMES_OF_FORMATS = ["saved", "m.keras", "m.onnx", "m.tflite", "m.ticket"]


@pytest.mark.parametrize("name", NAMES_OF_FORMATS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": MEAN}, "`mean` and `std` must be given together"),
        ({"mean": MEAN, "std": STD, "class_names": NAMES[:9]}, "must hold 10 names"),
        ({"representative_images": uint8_images(3)}, "for precision 'int8' and for it"),
    ],
)
def test_every_format_refuses_what_does_not_fit(tmp_path, name, arguments, message):
    with pytest.raises(InputError, match=message):
        export_model(refused_conv2(), tmp_path / "new" / name, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES_OF_FORMATS[:-1])
def test_only_tickets_hold_recipes(tmp_path, name):
    with pytest.raises(InputError, match=rf"Only a `\.ticket` can.*path='.*{name}'"):
        export_model(refused_conv2(), tmp_path / name, recipe={"epochs": 3})
    assert list(tmp_path.iterdir()) == []


def test_a_ticket_keeps_its_recipe_and_precision(tmp_path):
    path = export_model(
        conv2(), tmp_path / "m.ticket", precision="float16", recipe={"epochs": 3}
    )
    ticket = load_ticket(path)
    assert (ticket.recipe, ticket.precision) == ({"epochs": 3}, "float16")
    with pytest.raises(InputError, match="exported with the mean and std"):
        Classifier(path)


def test_what_is_no_export(tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "m.txt").write_text("")
    for name in ("folder.onnx", "m.txt", "missing.keras", "missing"):
        assert not is_export(tmp_path / name)
        with pytest.raises(InputError, match=f"SavedModel, or a file.*{name}"):
            Classifier(tmp_path / name)


def test_a_missing_runtime_is_named_with_its_extra(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    for name, extra in (("m.tflite", "litert"), ("m.onnx", "onnx")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match=rf"pip install 'tfsupermask\[{extra}\]'"):
            Classifier(tmp_path / name)
