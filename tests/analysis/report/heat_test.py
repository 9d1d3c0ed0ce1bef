"""Heat maps: each pixel has the colour of its value, and the script its value."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from m3i_jax.analysis.report import heat
from tests.analysis.report.places import EVIL, parse


def table(values, **how):
    values = np.asarray(values, float)
    rows, columns = ([str(i + 1) for i in range(n)] for n in values.shape)
    return heat.Table(**dict(title="CKA", rows=rows, columns=columns, values=values) | how)


def image(element):
    content = element.attributes["href"].partition("base64,")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_pixels_have_the_colours_of_their_values():
    values = np.linspace(0, 1, 12).reshape(3, 4)
    drawn = heat.draw(table(values), span=(0.0, 1.0), number_of=5)
    page = parse(drawn.figure)
    pixels = image(page.one("image", class_="heat"))
    anchors = np.asarray(heat.COLOURS, float)
    for i, j in np.ndindex(3, 4):
        place = values[i, j] * (len(anchors) - 1)
        k = min(int(place), len(anchors) - 2)
        right = anchors[k] + (place - k) * (anchors[k + 1] - anchors[k])
        np.testing.assert_allclose(pixels[i, j], right, atol=0.51)
    np.testing.assert_allclose(drawn.script["values"], values, atol=1e-4)
    assert drawn.script["rows"][2] == "block 3" and drawn.script["columns"][3] == "block 4"
    left, top, right, bottom = drawn.script["box"]
    size = page.one("image", class_="heat").attributes
    assert float(size["width"]) == right - left and float(size["height"]) == bottom - top


def test_darker_is_more():
    values = np.linspace(0, 1, 50)[None]
    luminance = heat.colours(values, (0.0, 1.0))[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) < 0).all()


def test_maps_that_are_compared_share_a_span():
    assert heat.spanned([table([[0.52, 0.9]]), table([[0.47, 1.0]])]) == (0.4, 1.0)
    assert heat.spanned([table([[0.99, 1.0]])]) == (0.9, 1.0)
    assert heat.spanned([table([[0.02, 1.0]])]) == (0.0, 1.0)
    assert heat.spanned([table([[-3, 2]]), table([[0, 9]])]) == (-3.0, 9.0)
    assert heat.spanned([table([[4, 4]])]) == (3.5, 4.5)


@pytest.mark.parametrize("count", [1, 12, 48, 128])
def test_names_have_room(count):
    drawn = heat.draw(table(np.eye(count)), span=(0.0, 1.0), number_of=0)
    across = [
        t for t in parse(drawn.figure).all("text", class_="tick") if t.attributes["y"] == "261"
    ]
    places = [float(t.attributes["x"]) for t in across]
    assert 1 <= len(across) <= 13 and (np.diff(places) > 18).all()


def test_no_name_becomes_markup():
    made = table([[1.0]], title=EVIL, rows=[EVIL], columns=[EVIL], across=EVIL)
    page = parse(heat.draw(made, span=(0.0, 1.0), number_of=0).figure)
    assert not [*page.all("script")]
    assert [[cell.text for cell in row.inside][1:] for row in page.all("tr")][1] == ["1"]
