"""The software that is deployed: our rooms as they stand, and the locked wheels for arm64 of `make wheels`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from governance.errors import InvalidRequest

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
FUNCTION_ROOMS = ("governance", "aws", "local", "lambdas")
NODE_ROOMS = ("governance", "aws", "local", "engine")
FUNCTIONS_LOCK = ROOT / "cdk_app" / "functions.lock"
NODE_LOCK = ROOT / "cdk_app" / "node.lock"
_LITTER = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True, slots=True)
class Software:
    """Folders that become assets."""

    layer: Path
    """`python/` with what functions import, for arm64."""
    functions: Path
    """The rooms that functions run."""
    node: Path
    """`wheels/`, `node.lock` and `rooms/` (with the boot files) of a node's image."""


def software(build: Path = BUILD) -> Software:
    """Lay out what is deployed.

    Raises:
        InvalidRequest: the wheels have not been fetched.
    """
    layer, wheels = build / "layer", build / "wheels" / "node"
    if not (layer / "python").is_dir() or not any(wheels.glob("*.whl")):
        raise InvalidRequest(
            "The locked wheels for arm64 are not here.", advice="Run `make wheels` once, with a network."
        )
    node = build / "stage" / "node"
    _fresh(node)
    shutil.copytree(wheels, node / "wheels", copy_function=_link)
    return Software(layer, stage_rooms(build / "stage" / "functions", FUNCTION_ROOMS), stage_node(node))


def stage_rooms(target: Path, rooms: tuple[str, ...]) -> Path:
    """The rooms' files in `target`, and nothing that a run left behind."""
    _fresh(target)
    for room in rooms:
        shutil.copytree(ROOT / room, target / room, ignore=_LITTER)
    return target


def stage_node(target: Path) -> Path:
    """Rooms, boot files and the list of wheels of a node, beside the wheels that `target` holds already."""
    rooms = stage_rooms(target / "rooms", NODE_ROOMS)
    (rooms / "cdk_app").mkdir()
    shutil.copy2(ROOT / "cdk_app" / "__init__.py", rooms / "cdk_app" / "__init__.py")
    shutil.copytree(ROOT / "cdk_app" / "boot", rooms / "cdk_app" / "boot", ignore=_LITTER)
    shutil.copy2(NODE_LOCK, target / NODE_LOCK.name)
    return target


def _fresh(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _link(source: str, target: str) -> str:
    """A hard link where the file system has them: wheels are large and never changed."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
    return target
