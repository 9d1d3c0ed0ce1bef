r"""Linear probing of ViT-B/16, ImageNet-1k, 90 epochs of LARS (M3I Table 9).

    m3i plan --config finetune/linear_vit_b16
    m3i pretrain --config finetune/linear_vit_b16 \
        --config.init_from.path=runs/m3i_in1k --workdir runs/m3i_in1k_linear
    m3i plan --config finetune/linear_vit_b16:mae
    m3i plan --config finetune/linear_vit_b16:siamese_im

The encoder is frozen; a classifier learns on its features, normalised over the batch. Asked about
test images, after each epoch (`config.validation`), it takes running statistics. M3I's is on the
mean token as SiameseIM's, MAE's on the class token. `experiments/evaluate.py` is quicker:
its features are of one crop. Any encoder on any data: `m3i finetune --recipe linear`, `linear_mae`.
The paper reports 83.8 after labels; SiameseIM 78.0, MAE 68.0; not run by us.
Constants and sources: docs/methods.md#linear-probe.
"""

from m3i_jax.configs import recipes

# Where from, peak rate, what is classified, whether the encoder ends in a norm.
TABLE = {
    "m3i": ("runs/m3i_in1k", 3.2, "mean", True),
    "mae": ("runs/mae_vit_b16", 6.4, "class", True),
    "siamese_im": ("runs/siamese_im_vit_b16", 6.4, "mean", False),
}


def get_config(name="m3i"):
    path, rate, pool, final_norm = TABLE[name]
    return recipes.imagenet(
        batch=16384,
        duration="90 epochs",
        warmup="10 epochs",
        augment=dict(),
        encoder=dict(name="vit_b16", positions="sincos", final_norm=final_norm),
        init_from=dict(path=path),
        objective=dict(name="classification", label_smoothing=0.0),
        **recipes.classifier(1000, 768, pool=pool, norm="running", deviation=0.01),
        validation=dict(every="1 epochs"),
        optimizer=dict(recipes.LARS, lr=rate, weight_decay=0.0, freeze="^encoders/image/"),
    )
