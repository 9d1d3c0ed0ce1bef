"""Templates and names of classes, ours and a user's."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import prompts


def test_every_sentence_of_ours_says_where_the_name_goes():
    assert len(set(prompts.ENSEMBLE)) == len(prompts.ENSEMBLE) == 80
    assert all(line.count("{}") == 1 for line in prompts.ENSEMBLE)
    assert len(prompts.templates("clip")) == 80
    assert prompts.templates("plain") == ("a photo of a {}.",)


def test_templates_of_a_file(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("a scan of a {}\n\n  the {}, from above \n", "utf-8-sig")
    assert prompts.templates(str(file)) == ("a scan of a {}", "the {}, from above")


def test_names_of_a_file_are_for_all_classes_or_for_some(tmp_path):
    classes = ("n01440764", "great_white_shark", "hen")
    plain = ("n01440764", "great white shark", "hen")
    assert prompts.class_names(classes) == plain
    file = tmp_path / "names.txt"
    file.write_text("tench\nshark\nhen\n")
    assert prompts.class_names(classes, file=str(file)) == ("tench", "shark", "hen")
    file.write_text("hen\ta hen\nn01440764\ttench, a fish\n")
    found = prompts.class_names(classes, file=str(file))
    assert found == ("tench, a fish", "great white shark", "a hen")


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("a {}\nno name\n", r"has no \{\} in line 2, 'no name'"),
        ("\n \n", "is empty, expected templates, one a line"),
    ],
)
def test_a_file_that_is_no_list_of_templates_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "mine.txt").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        prompts.templates(str(tmp_path / "mine.txt"))


def test_no_such_list_or_file_is_a_sentence(tmp_path):
    with pytest.raises(
        ConfigError, match="templates is 'ensembel', expected ensemble or clip or plain, or"
    ):
        prompts.templates("ensembel")
    with pytest.raises(ConfigError, match="names is '/no/file', expected a file with one a line"):
        prompts.class_names(("a",), file="/no/file")


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("tench\nshark\n", "has 2 names, and the data set has 3 classes"),
        ("hen\ta hen\nhem\tx\n", "line 2 of .* expected CLASS<tab>NAME .*did you mean 'hen'"),
        ("hen\ta hen\ncat\n", "line 2 of .* is 'cat', expected CLASS<tab>NAME"),
    ],
)
def test_names_that_do_not_fit_the_classes_are_a_sentence(tmp_path, text, sentence):
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        prompts.class_names(("hen", "cat", "dog"), file=str(tmp_path / "names.txt"))
