import matplotlib
from matplotlib.figure import Figure
from PIL import Image, ImageColor

from m3i_jax import pictures, plotting


def test_figures_are_written_in_the_form_of_their_name(tmp_path):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context(plotting.STYLE):
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([1, 2], color=plotting.PALETTE[0])
    png = plotting.save_figure(figure, tmp_path / "x.png", title="Loss")
    assert Image.open(png).size == (400, 200)  # 200 dots an inch
    assert "<svg" in plotting.save_figure(figure, tmp_path / "x.svg").read_text()
    assert dict(matplotlib.rcParams) == before


def test_what_pictures_point_at_has_a_colour_of_the_figures():
    assert ImageColor.getrgb(plotting.PALETTE[1]) == pictures.MARK
