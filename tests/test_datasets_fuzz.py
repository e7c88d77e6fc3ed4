"""Readers given any bytes either read them or say what is wrong; nothing else escapes."""

import contextlib
import io

import numpy as np
import pytest
from builders import load_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from made_exp.datasets import npz
from made_exp.datasets.densities_2d import read_picture

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def load_npz(path):
    return npz.load(seed=0, data_dir=path.parent, path=str(path), context="none")


def map_npz(path):
    options = {"seed": 0, "data_dir": path.parent, "context": "none"}
    return npz.load(path=str(path), **options, streaming=True)


def load_csv(path):
    return load_dataset("csv", seed=0, data_dir=path.parent, path=str(path))


def npz_bytes():
    buffer = io.BytesIO()
    np.savez(buffer, train=np.eye(6, dtype=np.uint8), image_shape=[2, 3])
    return buffer.getvalue()


def picture_bytes(kind):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((16, 16)).save(buffer, kind)
    return buffer.getvalue()


CSV = b"a,b,c\n" + b"".join(b"%d,%d.5,x%d\n" % (i, i * i, i % 3) for i in range(20))
READERS = {
    "npz": (load_npz, npz_bytes()),
    "npz, mapped": (map_npz, npz_bytes()),
    "csv": (load_csv, CSV),
    "png": (lambda path: read_picture(path, 4), picture_bytes("PNG")),
    "gif": (lambda path: read_picture(path, 4), picture_bytes("GIF")),
    "jpeg": (lambda path: read_picture(path, 4), picture_bytes("JPEG")),
}


@pytest.mark.parametrize("name", READERS)
def test_whole_file_is_read(name, tmp_path):
    reader, content = READERS[name]
    (tmp_path / "file").write_bytes(content)
    reader(tmp_path / "file")


@pytest.mark.parametrize("name", READERS)
@SETTINGS
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused_in_words(name, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with contextlib.suppress(ValueError):
        READERS[name][0](tmp_path / "file")


@pytest.mark.parametrize("name", READERS)
@SETTINGS
@given(data=st.data())
def test_damaged_files_are_refused_in_words(name, tmp_path, data):
    reader, content = READERS[name]
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    (tmp_path / "file").write_bytes(bytes(damaged[: end or None]))
    with contextlib.suppress(ValueError):
        reader(tmp_path / "file")


@SETTINGS
@given(text=st.text(max_size=200))
def test_random_text_is_no_csv_or_a_table(tmp_path, text):
    (tmp_path / "file").write_bytes(("a,b\n" + text).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(ValueError):
        load_csv(tmp_path / "file")
