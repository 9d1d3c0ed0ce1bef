"""Key points of persons, or of other things: how near they are to where they were labelled."""

from typing import Annotated

from m3i_jax import methods
from m3i_jax.evaluation.dense.judged import AUTO, Whose, predictor_of
from m3i_jax.evaluation.dense.persons import Persons, measured
from m3i_jax.evaluation.dense.posed import posed
from m3i_jax.evaluation.dense.probe import Plan, every_map
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.progress import counted
from m3i_jax.evaluation.tasks.segmentation import Decay
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.geometry.maps import Blocks
from m3i_jax.parallel import processes
from m3i_jax.ranges import Count, CountOrOff, Positive, Range, Seed, Share

Cells = Annotated[float, Range(0.1, 100)]


def pose(
    *,
    head: Whose = AUTO,
    blocks: Blocks = "last",
    steps: Count = 2000,
    warmup: CountOrOff = 100,
    batch: Count = 32,
    rate: Positive = 5e-4,
    decay: Decay = 0.05,
    sigma: Cells = 2.0,
    mirrored: Share = 0.5,
    rotation: Annotated[float, Range(0, 180)] = 40.0,
    flip: bool = True,
    seed: Seed = 0,
) -> Task:
    """OKS and AP of the simple decoder on frozen maps, or of the head that a run has trained.

    Top-down: each record is a person, or a thing, in its box; its crop has the sides of the
    encoder's images. The head is ViTPose's simple one, a 3×3 convolution of a map four times as
    large (Xu et al. 2022, https://arxiv.org/abs/2204.12484); heat maps are unbiased (UDP, DARK).
    Joints of other things than COCO's and CrowdPose's persons count by one σ, .05.

    Args:
      head: "own", that of the model's run; "linear", a new one; "auto", its own where it has one.
      blocks: whose maps a new head reads, "last", "stages", or numbers of blocks from 1.
      steps, warmup, batch: of training.   rate, decay: its highest rate, and the weight decay.
      sigma: of a joint's heat map, in cells.
      mirrored: probability of the mirror image in training.   rotation: degrees at most, there.
      flip: whether the answer to the mirror image counts, too.
      seed: of the head, the order and the crops.
    """
    crops = dict(name="person", flip=mirrored, rotation=rotation)
    optimizer = dict(name="adamw", lr=rate, weight_decay=decay, b2=0.999)

    def measure(evaluation: Evaluation) -> Measured:
        source = evaluation.source("test")
        persons = Persons.of(source)
        reads = dict(name="simple_decoder", map=every_map(evaluation.model, blocks)[-1])
        length = dict(batch=batch, steps=steps, warmup=warmup, seed=seed)
        plan = Plan("pose", reads, crops, optimizer, **length)
        row = dict(points=len(persons.skeleton.names), blocks=blocks, sigma=sigma)
        predictor, protocol = predictor_of(
            evaluation, "points", whose=head, method=lambda: methods.pose(**row), plan=plan
        )
        share, at_once = processes.own_share(), evaluation.at_once
        every = at_once * share.count  # crops of all processes
        far = dict(total=-(-len(source) // every), unit=(every, "crops"))
        how = dict(batch=at_once, share=share, flip=flip, swapped=persons.skeleton.swapped)
        how["rows"] = lambda rows: counted(rows, "pose of test: batch", **far)
        found = posed(predictor, source, size=predictor.size, **how)
        numbers, intervals = measured(persons, source, found)
        return Measured(numbers, protocol, {"test": len(found.number)}, intervals)

    settings = dict(head=head, blocks=blocks, steps=steps, warmup=warmup, batch=batch, rate=rate)
    settings |= dict(decay=decay, sigma=sigma, mirrored=mirrored, rotation=rotation)
    settings |= dict(flip=flip, seed=seed)
    return Task("pose", "key points", "oks", "share", settings, measure)
