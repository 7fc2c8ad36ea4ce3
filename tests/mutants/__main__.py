"""Mutation testing of the stages that decide access, fast enough to be asked: `make mutants ONLY=guard SAMPLE=60`.

mutmut makes the mutants; what it does not do is ask only the tests that are about a module. Here each module names its
own (`tests.mutants.modules`), they are collected once, and each mutant is a fork of that process: the tests that reach
the changed function run first, the quickest before the others, and the first that fails ends the mutant.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from difflib import unified_diff
from pathlib import Path

from mutmut.mutation.file_mutation import MutatedFile, mutate_file_contents

from tests.mutants.modules import MODULES, Module

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutants"
TREE = WORK / f"tree-{os.getpid()}"
"""A copy of the project in which one module at a time is mutated."""


def _copy() -> None:
    """Make the tree from the files that git knows or could know."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        target = TREE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)
    beside, link = ROOT.parent / "shared", WORK / "shared"
    if beside.is_dir() and not link.exists():
        link.symlink_to(beside)


def _function(made: MutatedFile, lines: list[str], name: str) -> list[str]:
    span = made.line_span_by_function_name[name]
    return [line.split("  # type: ignore # mutmut")[0].rstrip() for line in lines[span.start - 1 : span.end]]


def _difference(made: MutatedFile, name: str) -> list[str]:
    """What a mutant changes, as the lines of a diff."""
    lines = made.code.splitlines()
    original = name.rpartition("__mutmut_")[0] + "__mutmut_orig"
    before = _function(made, lines, original)
    after = [line.replace(name, original) for line in _function(made, lines, name)]
    return [line for line in unified_diff(before, after, n=2, lineterm="") if not line.startswith(("---", "+++", "@@"))]


def _run(name: str, module: Module, options: argparse.Namespace, wanted: frozenset[str]) -> dict[str, object]:
    """The verdict on each mutant that was asked of one module."""
    source = (ROOT / module.path).read_text()
    made = mutate_file_contents(module.path, source)
    mutants = sorted(set(made.mutant_names) & wanted) if wanted else list(made.mutant_names)
    total = len(made.mutant_names)
    if not wanted and options.sample and options.sample < total:
        mutants = random.Random(f"{options.seed}:{name}").sample(mutants, options.sample)
    target = TREE / module.path
    target.write_text(made.code)
    task = TREE / "task.json"
    answer = TREE / "answer.json"
    answer.unlink(missing_ok=True)
    task.write_text(
        json.dumps(
            {
                "module": module.path.removesuffix(".py").replace("/", "."),
                "mutants": mutants,
                "children": options.children,
                "answer": str(answer),
            }
        )
    )
    tests = [*module.tests, *options.tests]
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-n", "0",
        "-m", "not slow", "-p", "tests.mutants.forks", *tests,
    ]  # fmt: skip
    try:
        subprocess.run(
            command, cwd=TREE, env={**os.environ, "HATIDATA_MUTANTS": str(task)}, check=False,
            stdout=(WORK / f"{name}.log").open("w"), stderr=subprocess.STDOUT,
        )  # fmt: skip
    finally:
        target.write_text(source)
    if not answer.exists():
        raise SystemExit(f"{name}: the tests themselves fail; see {WORK / name}.log")
    verdicts: dict[str, str] = json.loads(answer.read_text())
    return {
        "mutants": total,
        "asked": len(mutants),
        "killed": sum(v in ("killed", "too long") for v in verdicts.values()),
        "survivors": {m: [v, *_difference(made, m)] for m, v in verdicts.items() if v not in ("killed", "too long")},
    }


def main() -> None:
    """Ask, print a line a module, and keep what survived in `build/mutants/NAME.json`."""
    parser = argparse.ArgumentParser(description="mutation testing of the stages that decide access")
    parser.add_argument("modules", nargs="*", help="names of tests/mutants/modules.py; all when none is given")
    parser.add_argument("--sample", type=int, default=0, help="mutants of each module, drawn by the seed; 0 is all")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--children", type=int, default=1, help="mutants at a time")
    parser.add_argument("--survivors", action="store_true", help="only those that survived the last time")
    parser.add_argument("--tests", nargs="*", default=[], help="more tests than the module's own")
    options = parser.parse_args()
    _copy()
    os.chdir(TREE)  # mutmut reads its settings where it stands
    try:
        _ask(options)
    finally:
        os.chdir(ROOT)
        shutil.rmtree(TREE)


def _ask(options: argparse.Namespace) -> None:
    for name in options.modules or list(MODULES):
        kept = WORK / f"{name}.json"
        before = json.loads(kept.read_text()) if options.survivors else {}
        if options.survivors and not before["survivors"]:
            continue
        found = _run(name, MODULES[name], options, frozenset(before.get("survivors", ())))
        if options.survivors:
            found |= {"asked": before["asked"], "killed": before["asked"] - len(found["survivors"])}  # type: ignore[arg-type]
        kept.write_text(json.dumps(found, indent=1, ensure_ascii=False))
        print(f"{name:24}{found['mutants']:7}{found['asked']:7}{found['killed']:7}", flush=True)


if __name__ == "__main__":
    main()
