"""What was trained, in words: from the config of a run, and from what it was started with."""

import inspect
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from m3i_jax import meanings
from m3i_jax.analysis.report.material import Run
from m3i_jax.analysis.report.scale import number
from m3i_jax.build import ConfigError
from m3i_jax.training import schema
from m3i_jax.training.config import Config
from m3i_jax.training.resolved import resolved

LONG = 160  # letters of a value; longer ones are cut


class Setting(NamedTuple):
    """A key of a config whose value is not its default.

    default: as it is written, "" where there is none.  meaning: in a line, "" where none is known.
    """

    value: str
    default: str
    meaning: str


def changed(config: Mapping[str, Any]) -> dict[str, Setting]:
    """The settings of a config that are not its defaults, by dotted key: {"optimizer.lr": …}."""
    known: dict[str, Setting] = {}
    covered: set[str] = set()
    for pattern in schema.BLOCKS:
        for place in _places(config, pattern):
            covered.add(place.path)
            known |= _block(place)
    scalars = {key: value for key, value in config.items() if not isinstance(value, dict)}
    different = _keys("", Config, scalars)
    for key, value in config.items():
        if isinstance(value, dict):
            different |= _flat(key, value, covered, known)
    return different


def whole(config: Mapping[str, Any]) -> dict[str, str]:
    """Every setting by its dotted key, defaults too, of blocks that a config has."""
    return _flattened("", resolved(config))


def facts(run: Run) -> dict[str, str]:
    """What one wants to know first, by what it is called; only what is known."""
    config, started = run.config, run.starts[-1] if run.starts else {}
    known = {
        "Method": _function(config, "objective"),
        "Encoder": _encoder(config),
        "Data": _data(config),
        "Length": _length(run),
        "Optimiser": _optimiser(config),
        "Machine": _machine(started),
        "Versions": _versions(started),
        "Started": _times(run),
        "Command": _text(started.get("command")),
    }
    return {name: said for name, said in known.items() if said}


def total(run: Run) -> int | None:
    """Steps of the whole run; None where that is not known."""
    if run.starts:
        return run.starts[-1]["total"]
    words = str(run.config.get("duration", "")).split()
    counted = len(words) == 2 and words[1].startswith("step") and words[0].isdecimal()
    return int(words[0]) if counted else None


def title(run: Run) -> str:
    """The method and the data, in a few words."""
    method, data = _name(run.config, "objective"), _name(run.config, "data")
    return " on ".join(filter(None, (method, data)))


def _function(config: Mapping[str, Any], block: str) -> str:
    """Name and title of what a block names, and of those that it combines."""
    said = [
        _titled(place.name, meanings.title(place.function)) if place.name else ""
        for pattern in (block, f"{block}.methods.*")
        for place in _places(config, pattern)
    ]
    return " ".join(filter(None, said)) or _name(config, block)


def _titled(name: str, title: str) -> str:
    """A name with what it stands for, said once."""
    subject = title.partition(":")[0]
    return title if name.lower() in subject.lower() else f"{name}: {title}"


def _encoder(config: Mapping[str, Any]) -> str:
    block = config.get("encoder")
    if not isinstance(block, dict):
        return ""
    others = [f"{key} {_value(value)}" for key, value in block.items() if key != "name"]
    towers = config.get("towers") if isinstance(config.get("towers"), dict) else {}
    beside = [f"{name} ({_name(towers, name)})" for name in towers]
    said = ", ".join([_name(config, "encoder"), *others])
    return said + (f"; further towers: {', '.join(beside)}" if beside else "")


def _data(config: Mapping[str, Any]) -> str:
    block = config.get("data")
    if not isinstance(block, dict):
        return ""
    if block.get("name") == "held_out" and isinstance(block.get("of"), dict):
        part = f"{_value(block['share'])} of it" if "share" in block else "a part of it"
        return f"{_data({**config, 'data': block['of']})}, {part} held out"
    others = [f"{key} {_value(value)}" for key, value in block.items() if key != "name"]
    side = f"images of {config['image']} px" if "image" in config else ""
    return ", ".join(filter(None, [_name(config, "data"), *others, side]))


def _length(run: Run) -> str:
    """How long it trains, and how far it has come."""
    config, steps = run.config, total(run)
    said = [str(config["duration"])] if "duration" in config else []
    if "batch" in config:
        said.append(f"of {config['batch']} images")
        if steps is not None and type(config["batch"]) is int:
            said.append(f"({number(steps * config['batch'])} images)")
    done = run.metrics[-1]["step"] if run.metrics else 0
    if done and done != steps:
        of = f" of {number(steps)}" if steps is not None else ""
        said.append(f"· now at step {number(done)}{of}")
    warm = config.get("warmup", "0 steps")
    return " ".join(said) + (f", warm-up {warm}" if said and warm != "0 steps" else "")


def _optimiser(config: Mapping[str, Any]) -> str:
    block = config.get("optimizer")
    if not isinstance(block, dict):
        return ""
    wanted = {"lr": "learning rate", "weight_decay": "weight decay", "clip": "clipped at"}
    said = [f"{name} {_value(block[key])}" for key, name in wanted.items() if key in block]
    numbers = [f"{config['dtype']}"] if "dtype" in config else []
    seed = [f"seed {config['seed']}"] if "seed" in config else []
    return ", ".join(filter(None, [_name(config, "optimizer"), *said, *numbers, *seed]))


def _machine(started: Mapping[str, Any]) -> str:
    versions = started.get("versions")
    if not isinstance(versions, dict):
        return ""
    said = [f"{started.get('devices', '?')} × {versions.get('device', '?')}"]
    said += [f"{started['processes']} processes"] if started.get("processes", 1) != 1 else []
    said += [f"{started['processors']} processors"] if started.get("processors") else []
    return ", ".join([*said, *filter(None, [_text(started.get("machine"))])])


def _versions(started: Mapping[str, Any]) -> str:
    versions = started.get("versions")
    if not isinstance(versions, dict):
        return ""
    return ", ".join(f"{name} {said}" for name, said in versions.items() if name != "device")


def _times(run: Run) -> str:
    """When the run was started, and how often it went on."""
    times = [_text(start.get("time")) for start in run.starts]
    if not times or not times[0]:
        return ""
    again = len(times) - 1
    said = times[0].replace("T", " ").replace("+00:00", " UTC")
    return said + (f", and went on {again} time{'s' * (again > 1)}" if again else "")


def _places(config: Mapping[str, Any], pattern: str) -> list[schema.Place]:
    """The blocks of one pattern; none where one of them cannot be read, as of other versions."""
    try:
        return [*schema.places(config, patterns=(pattern,))]
    except (ConfigError, AttributeError, TypeError, KeyError):
        return []


def _block(place: schema.Place) -> dict[str, Setting]:
    """The settings of a block by their whole keys, those with their default's value as None."""
    different = _keys(place.path, place.function, place.keywords)
    if place.block.read_elsewhere:
        different |= _keys(place.path, place.block.read_elsewhere, place.elsewhere)
    if place.name:
        different[f"{place.path}.name"] = Setting(place.name, "", meanings.title(place.function))
    return different


def _keys(path: str, function: Any, values: Mapping[str, Any]) -> dict[str, Setting]:
    """Settings of a function that differ from its defaults."""
    parameters, said = inspect.signature(function).parameters, meanings.of(function)
    different = {}
    for key, value in values.items():
        default = parameters[key].default if key in parameters else inspect.Parameter.empty
        none = default is inspect.Parameter.empty or not _plain(default)
        if none or _value(value) != _value(default):
            name = f"{path}.{key}" if path else key
            written = "" if none else _value(default)
            different[name] = Setting(_value(value), written, said.get(key, ""))
    return different


def _flat(
    path: str, block: Mapping[str, Any], covered: set[str], known: Mapping[str, Setting]
) -> dict[str, Setting]:
    """The settings in a block and in its blocks: as they are known, or all that are there."""
    flat: dict[str, Setting] = {}
    for key, value in block.items():
        name = f"{path}.{key}"
        if isinstance(value, dict):
            flat |= _flat(name, value, covered, known)
        elif name in known:
            flat[name] = known[name]
        elif path not in covered:
            flat[name] = Setting(_value(value), "", "")
    return flat


def _flattened(path: str, block: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in block.items():
        name = f"{path}.{key}" if path else key
        flat |= _flattened(name, value) if isinstance(value, dict) else {name: _value(value)}
    return flat


def _plain(value: Any) -> bool:
    """Whether a default is data that a config could say."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _value(value: Any) -> str:
    """A value as it is written, tuples as lists; the same text for the same value."""
    if isinstance(value, str):
        return value[:LONG]
    try:
        return json.dumps(value)[:LONG]
    except (TypeError, ValueError):
        return repr(value)[:LONG]


def _name(config: Mapping[str, Any], block: str) -> str:
    inner = config.get(block)
    return _text(inner.get("name")) if isinstance(inner, dict) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
