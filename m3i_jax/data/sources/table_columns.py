"""Which columns of a table are image, label, caption and annotations, and what they hold.

    image: struct {bytes, path} or bytes   label: a number or a name   caption: a text or several
    mask, depth: as image, or numbers of all pixels   box, bbox, points, keypoints: numbers

As Hugging Face's data sets write them: what a column is, and what its classes are called, stands in
the metadata of the schema. https://huggingface.co/docs/datasets/about_dataset_features
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import jsonfile
from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import caption_files, label_lists, naming
from m3i_jax.data.sources.annotation_forms import FORMS
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.types import Array

IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "pixel_values")
HOW = "reading {} needs pyarrow: pip install 'm3i_jax[parquet]'"


class Asked(NamedTuple):
    """Columns that a config names; None = the one that looks like it, captions False = none."""

    image: str | None = None
    label: str | None = None
    caption: str | None = None
    captions: bool = True
    annotations: bool = True


class Column(NamedTuple):
    """A column by its name, "" = there is none; packed: it is of structs that have bytes."""

    name: str
    packed: bool = False


class Columns(NamedTuple):
    """Columns of a table.

    names: of the classes; () = not said.   annotations: whose names are `annotation_forms.FORMS`.
    """

    image: Column
    label: Column
    caption: Column
    names: tuple[str, ...]
    annotations: tuple[Column, ...] = ()

    def said(self) -> str:
        """Which columns are read, as a sentence."""
        read = [(kind, getattr(self, kind).name) for kind in ("image", "label", "caption")]
        read += [(FORMS[one.name.casefold()].field, one.name) for one in self.annotations]
        return "columns: " + ", ".join(f"{kind} '{name}'" for kind, name in read if name)


class Labels(NamedTuple):
    """(N,) numbers of names, -1 = none, and a sentence on where names were read."""

    codes: Array
    names: tuple[str, ...]
    note: str = ""


def pyarrow(what: str) -> Any:
    """The library.

    Raises:
      ConfigError: it is not installed; `what` needs it.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigError(HOW.format(what)) from error
    return pyarrow


def chosen(schema: Any, asked: Asked, *, what: str) -> Columns:
    """The columns of a `pyarrow.Schema` that are read.

    Raises:
      ConfigError: there is no image column, or not the one that was asked for.
    """
    kinds = {field.name: field.type for field in schema}
    said = _features(schema.metadata or {})
    images = [name for name in kinds if said.get(name, {}).get("_type") == "Image"]
    images += [name for name in kinds if _holds_bytes(kinds[name])]
    plain = [name for name in images if name.casefold() not in FORMS]
    named = [name for name in plain if name.casefold() in IMAGES]
    image = _one(asked.image, [*plain[:1], *named][-1:], images, kinds, what, "image")
    labels = [name for name in kinds if said.get(name, {}).get("_type") == "ClassLabel"]
    labels += [name for name in kinds if label_lists.is_class(name) and _says_class(kinds[name])]
    label = _one(asked.label, labels, kinds, kinds, what, "label")
    texts = {name.casefold(): name for name in kinds if _is_text(kinds[name])}
    captions = [texts[key] for key in caption_files.KEYS if key in texts]
    caption = _one(asked.caption, captions, kinds, kinds, what, "caption") if asked.captions else ""
    names = said.get(label, {}).get("names")
    names = tuple(map(str, names)) if isinstance(names, list) else ()
    used = (image, label, caption)
    if twice := [name for name in used if name and schema.names.count(name) > 1]:
        raise ConfigError(f"{what} has the column '{twice[0]}' more than once")
    others = [name for name in kinds if name not in used and _annotates(name, kinds[name])]
    image, label, caption, *others = (
        Column(name, bool(name) and _is_struct(kinds[name])) for name in (*used, *others)
    )
    return Columns(image, label, caption, names, _each_once(others) if asked.annotations else ())


def _one(asked, likely: Sequence[str], fit, kinds: Mapping, what: str, kind: str) -> str:
    """The column that was asked for, or the first that is likely."""
    if asked is None:
        if not likely and kind == "image":
            has = ", ".join(f"{name} ({of})" for name, of in kinds.items())
            raise ConfigError(f"{what} has no column of encoded images; there are: {has[:1000]}")
        return likely[0] if likely else ""
    if asked not in kinds:
        raise ConfigError(f"{what} has no column '{asked}'{nearest(asked, kinds)}")
    if asked not in fit:
        raise ConfigError(f"the column '{asked}' of {what} is {kinds[asked]}, no {kind}")
    return asked


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, dict]:
    """What Hugging Face's metadata says of each column."""
    try:
        features = jsonfile.parse(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    pairs = features.items() if isinstance(features, dict) else ()
    return {name: feature for name, feature in pairs if isinstance(feature, dict)}


def _annotates(name: str, kind: Any) -> bool:
    """Whether a column is called as annotations are, and holds what they are made of."""
    form, types = FORMS.get(name.casefold()), pyarrow("a table").types
    if form is None or form.plane and _holds_bytes(kind):
        return form is not None
    depth = 0
    while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    # One box, not a list of them; key points come as a list of numbers, or of lists of three.
    expected = {"mask": (2,), "depth": (2,), "box": (1,), "points": (1, 2)}[form.field]
    return depth in expected and (types.is_integer(kind) or types.is_floating(kind))


def _each_once(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Of several columns for one annotation, the first."""
    by_field = {FORMS[column.name.casefold()].field: column for column in reversed(columns)}
    return tuple(by_field[field] for field in sorted(by_field))


def _is_struct(kind: Any) -> bool:
    return pyarrow("a table").types.is_struct(kind)


def _holds_bytes(kind: Any) -> bool:
    """Whether values are bytes, or structs that have some."""
    types = pyarrow("a table").types
    if types.is_struct(kind):
        fields = {kind.field(n).name: kind.field(n).type for n in range(kind.num_fields)}
        return "bytes" in fields and _holds_bytes(fields["bytes"])
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _is_text(kind: Any) -> bool:
    """Whether values are texts, or lists of them."""
    types = pyarrow("a table").types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _says_class(kind: Any) -> bool:
    """Whether values may name classes: whole numbers, also those that pandas made floats."""
    types = pyarrow("a table").types
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return number or _is_text(kind) and not types.is_list(kind)


def labels(
    column: Any,
    names: Sequence[str],
    folder: Path,
    file: str | None,
    *,
    what: str,
    asked: bool = True,
) -> Labels:
    """The classes of all records, of a `pyarrow.ChunkedArray` of numbers or names.

    Args:
      column: of all files, or None where there is none.
      names: that the metadata has for numbers.
      folder, file: that may have names for numbers, see `naming.called`.
      asked: whether somebody has named the column; another one of measures is no label.

    Raises:
      ConfigError: numbers beyond the names, or values that are neither numbers nor texts.
    """
    pa = pyarrow(what)
    if column is None:
        return Labels(np.empty(0, np.int32), ())
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not _says_class(column.type):
        raise ConfigError(f"the labels of {what} are {column.type}, expected numbers or texts")
    if pa.types.is_floating(column.type):
        values = column.cast(pa.float64()).to_numpy()
        if (odd := _not_whole(values)) is not None:
            if asked:
                raise ConfigError(f"the labels of {what} are no classes: one is {odd:g}")
            note = f"labels of {what} are not read, as they are no classes: one is {odd:g}"
            return Labels(np.full(len(values), -1, np.int32), (), note)
        whole = pa.array(values, pa.int64(), from_pandas=True, safe=False)
        column = pa.chunked_array([whole])
    if names and pa.types.is_integer(column.type):
        codes = _whole(column, what).fill_null(-1).to_numpy()
        if len(codes) and codes.max() >= len(names):
            raise ConfigError(f"{what} has the label {codes.max()}, but {len(names)} classes")
        return Labels(np.maximum(codes, -1).astype(np.int32), tuple(names))
    encoded = pa.concat_arrays(column.chunks).dictionary_encode()
    met = [str(value).strip() for value in encoded.dictionary.to_pylist()]
    some = np.array([bool(name) and not naming.NONE.fullmatch(name) for name in met], bool)
    called = naming.called(
        [name for name, is_one in zip(met, some, strict=True) if is_one], folder, file
    )
    places = np.full(len(met) + 1, -1, np.int32)  # the last one is that of nulls
    places[:-1][some] = called.places[:-1]
    return Labels(places[encoded.indices.fill_null(len(met)).to_numpy()], called.names, called.note)


def _not_whole(values: Array) -> float | None:
    """The first number that no class has; NaN, which pandas makes of a missing one, is none."""
    known = values[~np.isnan(values)]
    odd = known[(known != np.round(known)) | (np.abs(known) > 2**53)]
    return float(odd[0]) if len(odd) else None


def _whole(column: Any, what: str) -> Any:
    """Numbers with room for a -1, which unsigned ones have not."""
    pa = pyarrow(what)
    try:
        return column.cast(pa.int64())
    except ValueError as error:
        raise ConfigError(f"the labels of {what} are too large: {error}") from error


def value(scalar: Any) -> Any:
    """What a `pyarrow.Scalar` holds; of a struct with bytes, these."""
    held = scalar.as_py()
    return held.get("bytes") if isinstance(held, Mapping) else held


def image_bytes(data: bytes | None) -> bytes:
    """The bytes of an image that a row has.

    Raises:
      ValueError: there are none.
    """
    if not data:
        raise ValueError("it has no bytes of an image; a path alone is not followed")
    return data


def annotations(of: Mapping[Column, Any]) -> Annotations:
    """What the columns of a row say; None = nothing.

    Raises:
      ValueError: it is nothing that they may say.
    """
    forms = [(FORMS[column.name.casefold()], value) for column, value in of.items()]
    return Annotations(**{form.field: form.read(x) for form, x in forms if x is not None})
