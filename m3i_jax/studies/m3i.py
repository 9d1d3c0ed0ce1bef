"""The 12 forms of M3I's Table 2 and the target views of its Table 14, on digit scenes."""

from m3i_jax import config_file
from m3i_jax.methods.forms import FORMS
from m3i_jax.studies.study import Case, Study
from m3i_jax.training.config import Config

# (first target, second target) of M3I's Table 14: ImageNet top-1, COCO box AP.
TARGET_VIEWS = {
    ("same", "same"): (77.2, 48.6),
    ("different", "different"): (78.5, 49.8),
    ("different", "same"): (78.8, 49.2),
    ("same", "different"): (79.1, 49.5),
}
SEEN = {"same": "its target's view", "different": "another view"}

REFERENCE = "k"


def tables() -> list[Study]:
    """Table 2 and Table 14 as cases with their configs."""

    def load(name, **objective):
        config = config_file.load(name)
        config.objective.update(objective)
        return Config.of(config)

    table2, table14 = [], []
    for letter, form in FORMS.items():
        config = load(f"digit_scenes/table2:{letter}")
        table2.append(Case(letter, form.name, (form.imagenet, form.coco), config))
    for (first, second), paper in TARGET_VIEWS.items():
        views = dict(target_view_first=first, target_view_second=second)
        config = load("digit_scenes/m3i:images", **views)
        title = f"first image in {SEEN[first]}, second in {SEEN[second]}"
        table14.append(Case(f"{first}_{second}", title, paper, config))
    return [
        Study("The 12 forms (M3I Table 2)", tuple(table2)),
        Study("Target views of the mixed input (M3I Table 14)", tuple(table14)),
    ]
