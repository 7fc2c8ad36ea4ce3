"""The locked, in-memory DuckDB of a worker. Settings in this order; governance notes, section 3."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import duckdb

from engine.cache.filesystem import PinnedFileSystem


@dataclass(frozen=True, slots=True)
class InstanceLimits:
    """What DuckDB may take. Bytes."""

    memory_bytes: int
    spill_bytes: int
    threads: int


def open_instance(limits: InstanceLimits) -> duckdb.DuckDBPyConnection:
    """A fresh instance, still open, and without threads of its own.

    Opened before the sandbox, because DuckDB reads the cgroup's limits when it starts (and falls over a file that
    exists but may not be opened); its threads start after the sandbox, in `lock_instance`, and inherit it. DuckDB
    keeps its spill folder reachable for SQL whatever is locked, so the folder, below the current one, has a name
    nobody can guess.
    """
    default = duckdb.default_connection()  # made by the import, with threads; nobody uses it
    default.execute("SET threads=1")
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",
        "memory_limit": f"{limits.memory_bytes // (1 << 20)}MiB",
        "threads": "1",
        "temp_directory": f"spill-{secrets.token_hex(16)}",
        "max_temp_directory_size": f"{limits.spill_bytes // (1 << 20)}MiB",
    }
    return duckdb.connect(":memory:", config=config)


def lock_instance(instance: duckdb.DuckDBPyConnection, limits: InstanceLimits, files: PinnedFileSystem) -> None:
    """Give the instance its one door and its threads, and lock it for good. The current folder is the spill folder."""
    instance.register_filesystem(files)
    for setting in (
        f"SET threads={limits.threads}",
        "SET TimeZone='UTC'",
        "SET Calendar='gregorian'",
        "SET streaming_buffer_size='8MiB'",
        "SET arrow_output_version='1.5'",  # decimals in as many bytes as DuckDB itself holds them in
        "SET allow_persistent_secrets=false",
        "SET enable_progress_bar=false",
        "SET parquet_metadata_cache=true",
        "SET disabled_optimizers='statistics_propagation'",
        "SET allowed_directories=['hati://']",
        "SET enable_external_access=false",
        "SET lock_configuration=true",
    ):
        instance.execute(setting)
