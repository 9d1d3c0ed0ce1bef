r"""M3I, InternImage-H, 427 M image-text pairs and 15 M labelled images, 30 epochs (M3I Table 7).

    m3i plan --config mixture/m3i_internimage_h --devices 500 \
        --config.mesh.fsdp=4
    m3i pretrain --config mixture/m3i_internimage_h \
        --config.data.of.laion400m.root='gs://BUCKET/laion400m' \
        --config.captions.file=tokenizer.json --workdir runs/m3i_h

A convolution sees every pixel, and in a mix every pixel is some image's, so nothing is hidden; the
decoders read one map of stride 16 made of the last two stages. The paper reports
89.2 on ImageNet-1k and 65.4 box AP on COCO test-dev with heads and data beyond this; not run by us.
Constants and sources: docs/methods.md#m3i.

The sources are the paper's: LAION-400M, YFCC-15M and CC12M as img2dataset writes them, ImageNet-22k
as its archive is, a tar of a tar for each class. How they are mixed is not published; each is drawn
as often as it is long. Where samples lie in 400 M of them is read once, 5 s for 100 000 on two
cores; make the tokenizer before (`train_tokenizer`), of a part of the captions.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.imagenet(
        image=192,
        batch=40_000,
        duration="30 epochs",
        warmup="1 epochs",
        epoch_size=442_000_000,
        data=dict(
            name="mixture",
            of=dict(
                laion400m=dict(name="tar_shards", root="data/laion400m", without="labels"),
                yfcc15m=dict(name="tar_shards", root="data/yfcc15m", without="labels"),
                cc12m=dict(name="tar_shards", root="data/cc12m", without="labels"),
                imagenet22k=dict(name="tar_shards", root="data/imagenet22k", without="captions"),
            ),
        ),
        encoder=dict(
            name="internimage_h",
            fused=1024,
            drop_path=0.2,
            drop_path_schedule="uniform",
            remat="full",
        ),
        objective=dict(recipes.M3I, mix_group=8),
        target=dict(name="ema", momentum=0.995, end=1.0),
        weighting=dict(name="gradient_norm", gamma=1.0, decay=0.99),
        captions=dict(vocabulary=49408, length=77),
        towers=dict(
            category=dict(name="table", size=21841, width=768),
            text=dict(name="bert_base", vocabulary=49408, length=77, unit_norm=True),
        ),
        decoders=dict(
            image=dict(name="query", width=1024, depth=4, heads=16),
            category=dict(name="attention_pool", heads=16),
            text=dict(name="attention_pool", heads=16, logit_scale=True),
        ),
    )
