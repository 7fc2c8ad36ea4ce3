"""Which blocks to keep: hit ratios of eviction policies on made traces, Belady's optimum beside them. Pure simulation.

`python -m benchmarks.cache_traces`. Blocks are of one size; the cache holds a tenth of the blocks there are.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence

from engine.cache.block_index import BlockIndex

BLOCKS = 5_000
REQUESTS = 100_000
SHARE = 0.1
TOLD = 0.5
"""Uses of a block are told at least this often, in requests, as a share of the blocks that the cache holds."""
_SEED = 8
Trace = Sequence[int]


def zipf(alpha: float, seed: int = _SEED) -> list[int]:
    """Independent draws; the n-th most popular block with weight 1 / n ** alpha."""
    rng = random.Random(seed)
    weights = list(itertools.accumulate(1 / n**alpha for n in range(1, BLOCKS + 1)))
    return rng.choices(range(BLOCKS), cum_weights=weights, k=REQUESTS)


def with_scans(trace: Trace, every: int = 5_000, length: int = 1_500) -> list[int]:
    """`trace`, with a read of `length` blocks nobody asks for otherwise after each `every` requests."""
    mixed: list[int] = []
    fresh = itertools.count(BLOCKS)
    for at in range(0, len(trace), every):
        mixed += trace[at : at + every]
        mixed += itertools.islice(fresh, length)
    return mixed


def served_by_index(trace: Trace, capacity: int) -> float:
    """The product's own index."""
    index, hits = BlockIndex(capacity), 0
    for block in trace:
        key = (str(block), 0)
        if index.touch(key):
            hits += 1
        else:
            index.add(key, 1)
            index.victims()
    return hits / len(trace)


def served_through_workers(trace: Trace, capacity: int) -> float:
    """The product's own index when a worker holds what it was given, and tells of a block's use now and then."""
    index, hits = BlockIndex(capacity), 0
    told: dict[int, int] = {}
    for at, block in enumerate(trace):
        key = (str(block), 0)
        if key not in index:
            index.add(key, 1)
            index.victims()
            told[block] = at
            continue
        hits += 1
        if at - told[block] >= capacity * TOLD:
            index.touch(key)
            told[block] = at
    return hits / len(trace)


def served_by_lru(trace: Trace, capacity: int) -> float:
    """Plain least recently used."""
    held: dict[int, None] = {}
    hits = 0
    for block in trace:
        if block in held:
            hits += 1
            del held[block]
        elif len(held) >= capacity:
            del held[next(iter(held))]
        held[block] = None
    return hits / len(trace)


def served_by_belady(trace: Trace, capacity: int) -> float:
    """The optimum: out goes what is needed again last."""
    following: list[int] = [0] * len(trace)
    seen: dict[int, int] = {}
    for at in range(len(trace) - 1, -1, -1):
        following[at] = seen.get(trace[at], len(trace) + at)
        seen[trace[at]] = at
    held: dict[int, int] = {}
    latest: list[tuple[int, int]] = []
    hits = 0
    for at, block in enumerate(trace):
        if block in held:
            hits += 1
        elif len(held) >= capacity:
            while True:
                need, victim = heapq.heappop(latest)
                if held.get(victim) == -need:
                    del held[victim]
                    break
        held[block] = following[at]
        heapq.heappush(latest, (-following[at], block))
    return hits / len(trace)


POLICIES: dict[str, Callable[[Trace, int], float]] = {
    "ours": served_by_index,
    "ours, held by workers": served_through_workers,
    "LRU": served_by_lru,
    "Belady": served_by_belady,
}


def traces() -> dict[str, list[int]]:
    """Every trace by name."""
    made = {f"Zipf {alpha}": zipf(alpha) for alpha in (0.8, 1.0, 1.2)}
    return made | {f"{name} with scans": with_scans(trace) for name, trace in made.items()}


def measure() -> dict[str, dict[str, float]]:
    """Hit ratios by trace and policy."""
    capacity = int(BLOCKS * SHARE)
    return {
        name: {policy: serve(trace, capacity) for policy, serve in POLICIES.items()} for name, trace in traces().items()
    }


def main() -> None:
    """Print them."""
    for name, found in measure().items():
        print(f"{name:24}" + "  ".join(f"{policy} {ratio:.3f}" for policy, ratio in found.items()), flush=True)


if __name__ == "__main__":
    main()
