r"""Key points of CrowdPose by SwinV2-B, 150 epochs at batch 512 (Dark Secrets, supplement F).

    m3i plan --config finetune/crowdpose_swin_v2_b --config.epoch_size=48000
    m3i pretrain --config finetune/crowdpose_swin_v2_b \
        --config.init_from.path=runs/simmim_swin_v2_b --workdir runs/simmim_swin_v2_b_crowdpose

The paper trains on train and val: --config.data.annotations=json/crowdpose_trainval.json. A plan
without the data has to be told their people, about six tenths of 80 000. Otherwise as
`finetune/coco_pose_swin_v2_b`, with 14 joints; not run by us.
Constants and sources: docs/methods.md#pose.
"""

from m3i_jax.configs import recipes


def get_config():
    return recipes.people("runs/simmim_swin_v2_b", data=dict(root="data/crowdpose"), points=14)
