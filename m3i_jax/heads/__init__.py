"""Heads: what dense tasks put on an encoder, from maps behind its blocks to a value for each cell.

They are decoders by name (`decoders.create`) that read `Features.maps` and return (B, h, w, out),
whose size is that of the finest map, or as the head says; those of objects return a record.
"""

from m3i_jax.heads.deconvolutions import Deconvolutions, SimpleDecoder
from m3i_jax.heads.depth import DepthBins, DepthDeconvolutions
from m3i_jax.heads.dino_detector import DinoDetector
from m3i_jax.heads.fcn import FCN
from m3i_jax.heads.linear import DenseLinear
from m3i_jax.heads.mask2former import Mask2Former
from m3i_jax.heads.mask_rcnn import MaskRCNN
from m3i_jax.heads.swin_track import SwinTrack
from m3i_jax.heads.upernet import UPerNet

HEADS = {
    "dense_linear": DenseLinear,
    "fcn": FCN,
    "upernet": UPerNet,
    "mask_rcnn": MaskRCNN,
    "deconvolutions": Deconvolutions,
    "simple_decoder": SimpleDecoder,
    "depth_deconvolutions": DepthDeconvolutions,
    "depth_bins": DepthBins,
    "mask2former": Mask2Former,
    "dino_detector": DinoDetector,
    "swin_track": SwinTrack,
}
