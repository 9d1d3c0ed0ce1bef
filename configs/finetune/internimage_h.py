r"""Fine-tuning of InternImage-H, ImageNet-1k: 30 epochs after M3I, 20 after ImageNet-22k.

    m3i plan --config finetune/internimage_h
    m3i plan --config finetune/internimage_h:640

"m3i" is of the paper's 30 epochs (M3I, appendix B.2) by the file of that length that its authors
published, internimage_h_jointto1k_224.yaml; "640" that of 22k, internimage_h_22kto1k_640.yaml. Our
head is a classifier of the mean token; theirs has a convolution and a batch norm before it.
Reported: 89.2 after M3I, 89.6 at 640 pixels; not run by us.
Constants and sources: docs/methods.md#fine-tuning.
"""

from m3i_jax.configs import recipes

# Pixels, epochs, warm-up, rate at 512 images, at its start and end, weight decay, layer decay, drop
# path, momentum of the average, factor of the rate of DCNv3's offsets (classification/configs/).
TABLE = {
    "m3i": (224, 30, 0, 3e-5, 3e-8, 3e-7, 1e-8, 0.8, 0.6, 0.9998, 1.0),
    "640": (640, 20, 2, 2e-5, 0.0, 0.0, 0.05, 0.9, 0.2, 0.9999, 0.1),
}
OFFSETS = r"/dcn/(offset|center_feature_scale_proj)/"  # DCN_LR_MUL, which leaves the masks out


def get_config(after="m3i"):
    image, epochs, warmup, rate, start, end, decay, layers, drop, momentum, offsets = TABLE[after]
    factors = dict(lr_scale=((OFFSETS, offsets),)) if offsets != 1 else {}
    return recipes.fine_tuned(
        "runs/m3i_internimage_h",
        image=image,
        batch=512,
        duration=f"{epochs} epochs",
        warmup=f"{warmup} epochs",
        augment=dict(),  # RandAugment alone: MIXUP, CUTMIX and REPROB are 0
        encoder=dict(name="internimage_h", drop_path=drop, remat="full"),
        init_from=dict(path="runs/m3i_internimage_h", ignore="^encoders/image/projection/|fused"),
        objective=dict(name="classification", label_smoothing=0.3),
        average=dict(momentum=momentum, end=momentum, head=True),
        **recipes.classifier(1000, 2560),
        optimizer=dict(
            name="adamw", lr=rate, end_lr=end, schedule=dict(recipes.WHOLE, start=start), b2=0.999,
            weight_decay=decay, layer_decay=layers, clip=5.0, **factors,
        ),
    )  # fmt: skip
