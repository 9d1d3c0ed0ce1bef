"""Tasks are built from blocks as everything else is, and say what their numbers are."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import tasks


def test_every_task_is_built_without_settings_and_names_its_headline():
    made = tasks.defaults()
    assert [task.name for task in made] == list(tasks.TASKS)
    assert {"eval/linear/top1", "eval/knn/top1_k20"} <= {task.metric for task in made}


@pytest.mark.parametrize(
    "block, sentence",
    [
        ({"name": "linaer"}, "did you mean 'linear'"),
        ({"name": "knn", "temprature": 3}, "task has no key 'temprature'; did you mean 'tempera"),
        ({"name": "knn", "k": 0}, "task.k is 0, expected 1 to 2147483647"),
        ({"name": "knn", "k": []}, "k is empty"),
        ({"name": "knn", "temperature": 0}, "task.temperature is 0"),
        ({"name": "linear", "recipe": "lras"}, "recipe is 'lras', expected lbfgs or lars"),
        ({"name": "linear", "base_lr": 10}, "base_lr is the rate of recipe=lars"),
    ],
)
def test_a_wrong_setting_is_a_sentence(block, sentence):
    with pytest.raises(ConfigError, match=sentence):
        tasks.create([block])
