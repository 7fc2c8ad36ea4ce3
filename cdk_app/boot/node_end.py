"""The end of a node on the node itself: drain, erase, prove (claims W2.7, W6.1). Each step may be repeated."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from cdk_app.boot import paths
from cdk_app.boot.cache_volume import CacheVolume
from cdk_app.boot.commands import Commands
from governance.node_life import Spool
from governance.node_report import NodeReport, NodeStep

_KILL_S = 30.0
_PAUSE_S = 1.0


class NodeEnd:
    """Carries out one step and says what became of it."""

    def __init__(
        self,
        volume: CacheVolume,
        commands: Commands,
        *,
        drain_s: float,
        ship_s: float = 600.0,
        ending: Path = paths.ENDING,
        pause: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """The engine has `drain_s` to finish statements and sessions before it is killed, the spool then `ship_s`.

        `ending` is the file that forbids a new start; `pause` and `monotonic` are the clock.
        """
        self._volume = volume
        self._commands = commands
        self._drain_s = drain_s
        self._ship_s = ship_s
        self._ending = ending
        self._pause = pause
        self._monotonic = monotonic

    def step(self, step: NodeStep) -> NodeReport:
        """Do it."""
        if step is NodeStep.PROVE:
            return self._volume.prove()
        return self._drain() if step is NodeStep.DRAIN else self._erase()

    def _drain(self) -> NodeReport:
        """Let the engine end its sessions, then ship what the spool holds."""
        troubles = self._end_engine(self._drain_s)
        shipped = self._systemctl("start", paths.SHIP_UNIT, timeout_s=self._ship_s)
        if not shipped:
            troubles.append("spool_not_shipped")
            self._systemctl("stop", paths.SHIP_UNIT, timeout_s=_KILL_S)
        spool = Spool.SHIPPED if shipped else Spool.UNSHIPPED
        return NodeReport(NodeStep.DRAIN, not troubles, spool=spool, troubles=tuple(troubles))

    def _erase(self) -> NodeReport:
        """Nobody may hold the volume any more: what a drain left is killed."""
        self._end_engine(_KILL_S)
        return self._volume.erase()

    def _end_engine(self, patience_s: float) -> list[str]:
        """SIGTERM, wait, SIGKILL; the codes of what went wrong."""
        self._ending.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._ending.touch()
        deadline = self._monotonic() + patience_s
        self._systemctl("kill", "--kill-whom=main", "--signal=SIGTERM", paths.ENGINE_UNIT)
        while self._running():
            if self._monotonic() >= deadline:
                self._systemctl("kill", "--signal=SIGKILL", paths.ENGINE_UNIT)
                self._systemctl("stop", paths.ENGINE_UNIT, timeout_s=_KILL_S)
                return ["engine_still_runs"] if self._running() else []
            self._pause(_PAUSE_S)
        self._systemctl("stop", paths.ENGINE_UNIT, timeout_s=_KILL_S)
        return []

    def _running(self) -> bool:
        """Whether the engine's unit has processes; a systemd that cannot be asked counts as yes."""
        done = self._commands.run(["systemctl", "show", "--property=ActiveState", "--value", paths.ENGINE_UNIT])
        return not done.well or done.out.strip() not in ("inactive", "failed")

    def _systemctl(self, *argv: str, timeout_s: float = 60.0) -> bool:
        return self._commands.run(["systemctl", *argv], timeout_s=timeout_s).well
