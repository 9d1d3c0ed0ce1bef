r"""Converts weights of others to ours or to a third party's, and says what was taken of them.

    m3i convert model.safetensors --encoder vit_b16 --output weights/vit
    m3i convert mae_pretrain_vit_base.pth --torch --encoder vit_b16 --output weights/mae
    m3i convert clip/model.safetensors --encoder vit_b16 --fields '{"image": 384}' \
        --output weights/clip_384 --to timm
    m3i convert vit_s_focus.onnx --output weights/focus
    m3i convert encoder.pkl --torch --beside decoder.pkl --encoder dalle_encoder \
        --output weights/dalle

The encoder gets the fields that its layout needs, those that its parameters show, those that files
beside it state (config.json, preprocessor_config.json), and --fields over them; what nobody states
is said to be a guess. Position tables, patches and channels are made to fit. --torch reads a torch
file, weights only, of a state dict or a whole module: nothing in it is executed. Of an ONNX file
the module that a layout knows is taken. --beside keeps the decoders of a second file in the same
folder.
"""

import json

from m3i_jax import cli, jsonfile
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import switch, text

INPUT = text("input", None, "The same as a word: file of weights, or its folder.", required=True)
BESIDE = text("beside", None, "File of decoders to keep with the encoder.")
OUTPUT = text("output", None, "Folder to write.", required=True)
LAYOUT = text("layout", "auto", "Layout of the input, see docs/weights.md.")
ENCODER = text("encoder", None, "Our encoder of this shape; not needed if stated.")
FIELDS = text("fields", "{}", "Further fields of the encoder, as JSON.")
TO = text("to", "m3i_jax", "m3i_jax, timm, huggingface, or a layout of interop.")
IGNORE = text("ignore", "mask_token$", "Parameters that may be missing or extra.", limits=str)
TORCH = switch("torch", "Inputs are torch files (.pth, .bin, .pkl).")
BESIDE_PART = text("beside_part", "", "Which state dict of the torch file --beside.", limits=str)
PART = text("part", "", "Which state dict of a torch file, such as teacher.", limits=str)


def main() -> None:
    """Reads, renames, fits, reports, writes."""
    from m3i_jax.interop import conversion

    fields = _fields(FIELDS.value)
    if BESIDE.value and TO.value != "m3i_jax":
        raise ConfigError(f"--beside is kept in our own names, not in those of --to {TO.value}")
    imported = conversion.read(INPUT.value, layout=LAYOUT.value, torch=TORCH.value, part=PART.value)
    block = conversion.block(imported, ENCODER.value or "", fields)
    beside = None
    if BESIDE.value:
        beside = conversion.read(BESIDE.value, torch=TORCH.value, part=BESIDE_PART.value)
        imported = conversion.merged(imported, beside)
    params, report = conversion.encoder(imported, block, ignore=IGNORE.value, chosen=fields)
    print(f"{INPUT.value}: layout {imported.layout.name}\n{report}")
    if beside:
        print(f"{BESIDE.value}: layout {beside.layout.name}\nkept {len(beside.params)}")
    with cli.unbroken():
        layout = conversion.save(OUTPUT.value, imported, params, block, to=TO.value)
    print(f"{OUTPUT.value}: layout {layout}, encoder {json.dumps(block)}")


def _fields(text: str) -> dict:
    try:
        fields = jsonfile.parse(text)
    except ValueError as error:
        raise ConfigError(f"--fields is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"--fields is {text}, expected an object such as '{{\"image\": 384}}'")
    return fields


def run() -> None:
    """The command."""
    cli.run(main, words=INPUT)
