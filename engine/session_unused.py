"""Parameters that clients set out of habit and that decide nothing here: PostgreSQL's planner, memory and upkeep.

They are kept and shown, so that a tool's first words succeed. What would change the meaning of a statement or of a
value is not among them.
"""

from __future__ import annotations

_SWITCHES = """
enable_async_append enable_bitmapscan enable_gathermerge enable_hashagg enable_hashjoin enable_incremental_sort
enable_indexonlyscan enable_indexscan enable_material enable_memoize enable_mergejoin enable_nestloop
enable_parallel_append enable_parallel_hash enable_partition_pruning enable_seqscan enable_sort enable_tidscan
jit_expressions jit_tuple_deforming parallel_leader_participation track_activities
"""
_OFF = "enable_partitionwise_aggregate enable_partitionwise_join"
VALUES = {
    "backend_flush_after": "0",
    "client_connection_check_interval": "0",
    "commit_delay": "0",
    "cpu_index_tuple_cost": "0.005",
    "cpu_operator_cost": "0.0025",
    "cpu_tuple_cost": "0.01",
    "default_toast_compression": "pglz",
    "effective_cache_size": "4GB",
    "effective_io_concurrency": "1",
    "force_parallel_mode": "off",
    "from_collapse_limit": "8",
    "geqo_effort": "5",
    "geqo_threshold": "12",
    "gin_fuzzy_search_limit": "0",
    "gin_pending_list_limit": "4MB",
    "hash_mem_multiplier": "2",
    "jit_above_cost": "100000",
    "join_collapse_limit": "8",
    "logical_decoding_work_mem": "64MB",
    "maintenance_io_concurrency": "10",
    "maintenance_work_mem": "64MB",
    "max_parallel_maintenance_workers": "2",
    "max_parallel_workers": "8",
    "max_parallel_workers_per_gather": "2",
    "max_stack_depth": "2MB",
    "min_parallel_index_scan_size": "512kB",
    "min_parallel_table_scan_size": "8MB",
    "parallel_setup_cost": "1000",
    "parallel_tuple_cost": "0.1",
    "password_encryption": "scram-sha-256",
    "plan_cache_mode": "auto",
    "random_page_cost": "4",
    "recursive_worktable_factor": "10",
    "seq_page_cost": "1",
    "temp_buffers": "8MB",
    "temp_tablespaces": "",
    "vacuum_cost_delay": "0",
    "vacuum_cost_limit": "200",
    "wal_sender_timeout": "1min",
}
"""Numbers, sizes and words, likewise."""
SWITCHES = dict.fromkeys(_SWITCHES.split(), "on") | dict.fromkeys(_OFF.split(), "off")
"""On or off, with PostgreSQL 15's own defaults."""
