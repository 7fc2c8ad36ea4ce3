"""DuckDB in killable, confined worker processes. The node's side is `Executor`; a worker's is `engine.executor.worker`.

    executor = Executor(ExecutorSettings(spill_root), lake, cache)
    await executor.start()
    async with await executor.run(governed, parameters=(), formats=(), deadline_s=300) as execution:
        execution.columns
        async for frame in execution.frames(): ...
        execution.facts

Nothing is imported here, so that a worker loads only its own side.
"""
