"""A chain in a file, verified offline, and compared with the signed checkpoints that lie in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from governance import chain
from governance.checkpoints import CHECKPOINT_BYTES_MAX, Checkpoint, Finding, compare, longest_silence
from governance.errors import InvalidRequest
from governance.signatures import Verify, verifier

CHECKPOINTS_MAX = 1_000_000
"""More than a century of them."""


def verify_file(file: Path, environment: str, checkpoints: Path | None, key: Path | None) -> dict[str, Any]:
    """As `verify_lines`, of a file.

    Raises:
        InvalidRequest: file, folder or key cannot be read.
    """
    try:
        return verify_lines(lambda: _lines(file), environment, checkpoints, key)
    except (OSError, UnicodeDecodeError):
        raise InvalidRequest(f"{file} cannot be read as lines of UTF-8.") from None


def verify_lines(
    lines: Callable[[], Iterator[str]], environment: str, checkpoints: Path | None, key: Path | None
) -> dict[str, Any]:
    """What is found: `holds`, `count`, `head`, `first_break`, and of checkpoints `findings` and their number.

    Args:
        lines: begins anew with the lines of a chain.
        environment: whose it must be; empty takes the first line's word.
        checkpoints: a folder, searched below `checkpoints/` or as a whole; None compares with none.
        key: a PEM; None checks no signatures.

    Raises:
        InvalidRequest: folder or key cannot be read.
    """
    findings: list[Finding] = []
    known: list[tuple[str, Checkpoint]] = []
    if checkpoints is not None:
        known, findings = _read(checkpoints, environment or _environment(lines()), _verify_with(key))
    marks = {checkpoint.sequence for _, checkpoint in known}
    found = chain.verify(lines(), environment, marks=marks)
    findings += compare(found.environment, found.count, found.marked, known)
    broken = found.first_break
    told: dict[str, Any] = {
        "environment": found.environment,
        "holds": found.holds and not findings,
        "count": found.count,
        "head": found.head,
        "first_break": {"line": broken.line, "sequence": broken.sequence, "reason": broken.reason} if broken else None,
    }
    if checkpoints is not None:
        every = [checkpoint for _, checkpoint in known]
        told |= {
            "checkpoints": len(known),
            "last_checkpoint_at": max((checkpoint.at for checkpoint in every), default=""),
            "longest_silence_s": round(longest_silence(every).total_seconds()),
            "signed": key is not None,
            "findings": [{"kind": f.kind, "checkpoint": f.checkpoint, "detail": f.detail} for f in findings],
        }
    return told


def _verify_with(key: Path | None) -> Verify | None:
    if key is None:
        return None
    try:
        return verifier(key.read_bytes())
    except OSError:
        raise InvalidRequest(f"{key} cannot be read.") from None


def _read(folder: Path, environment: str, verify: Verify | None) -> tuple[list[tuple[str, Checkpoint]], list[Finding]]:
    """Every checkpoint of the environment in the folder, and what is wrong with some."""
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is no folder.")
    top = folder / "checkpoints"
    top = top if top.is_dir() else folder
    known: list[tuple[str, Checkpoint]] = []
    findings: list[Finding] = []
    for path in sorted(top.rglob("*.json")):
        name = path.relative_to(top).as_posix()
        if len(known) == CHECKPOINTS_MAX:
            raise InvalidRequest("There are too many checkpoints in the folder.")
        try:
            with path.open("rb") as file:
                data = file.read(CHECKPOINT_BYTES_MAX + 1)
            checkpoint = Checkpoint.decode(data)
        except OSError:
            raise InvalidRequest(f"{name} cannot be read.") from None
        except ValueError:
            findings.append(Finding("malformed", name, "cannot be read as a checkpoint"))
            continue
        if checkpoint.environment != environment:
            continue
        fault = _signature_fault(path, data, verify)
        if fault:
            findings.append(
                Finding(fault, name, "is not signed by this key" if fault == "bad_signature" else "no .sig")
            )
        else:
            known.append((name, checkpoint))
    return known, findings


def _signature_fault(path: Path, data: bytes, verify: Verify | None) -> str:
    if verify is None:
        return ""
    try:
        with path.with_suffix(".sig").open("rb") as file:
            signature = file.read(CHECKPOINT_BYTES_MAX)
    except OSError:
        return "unsigned"
    return "" if verify(data, signature) else "bad_signature"


def _environment(lines: Iterator[str]) -> str:
    """Whose chain the first line says it is."""
    return chain.verify(islice(lines, 1)).environment


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", newline="\n") as lines:
        while line := lines.readline(chain.LINE_CHARS_MAX + 2):
            yield line
