"""The node's copy of the law is believed by signature alone: over the wire, and from its own disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.control_link import RulebookAnswer
from engine.rulebook import RulebookKeeper
from governance import rulebook as rulebook_format
from governance.bundle import Manifest
from governance.errors import InvalidRequest, RulebookUnavailable
from governance.rulebook import Limits
from governance.timestamp import stamp
from tests.engine.session.front import FakeLink, SystemClock, make_rulebook, signature_holds
from tests.support.waiting import until_async


@dataclass
class Twisted(FakeLink):
    """Hands out answers as something between control plane and node might change them."""

    twist: Callable[[RulebookAnswer], RulebookAnswer] = lambda answer: answer

    async def rulebook(self, etag: str, wait_s: float = 0.0) -> RulebookAnswer:
        return self.twist(await super().rulebook(etag, wait_s))


class MovingClock(SystemClock):
    def __init__(self) -> None:
        self.ahead = timedelta()
        self.seconds = 0.0

    def now(self) -> datetime:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return self.seconds

    def forward(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)
        self.seconds += seconds


def keeper_of(link: FakeLink, path: Path, clock: MovingClock | None = None) -> RulebookKeeper:
    clock = clock or MovingClock()
    return RulebookKeeper(
        link,  # type: ignore[arg-type]
        path,
        environment="production",
        clock=clock,
        verify=signature_holds,
        poll_s=0.02,
        monotonic=clock.monotonic,
    )


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 30))


def _other_body(answer: RulebookAnswer) -> RulebookAnswer:
    assert answer.body is not None
    return replace(answer, body=answer.body.replace(b'"analyst"', b'"owner"'))


def _resigned_by_another(answer: RulebookAnswer) -> RulebookAnswer:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return replace(answer, signature=Ed25519PrivateKey.generate().sign(answer.manifest))


FORGERIES: dict[str, Callable[[RulebookAnswer], RulebookAnswer]] = {
    "body": _other_body,
    "no signature": lambda answer: replace(answer, signature=b""),
    "no manifest": lambda answer: replace(answer, manifest=b""),
    "another's signature": _resigned_by_another,
    "another version claimed": lambda answer: replace(
        answer, manifest=answer.manifest.replace(b'"version":1', b'"version":9')
    ),
}


@pytest.mark.parametrize("forgery", sorted(FORGERIES))
def test_a_rulebook_that_is_not_signed_by_the_installation_never_comes_into_force(tmp_path: Path, forgery: str) -> None:
    async def story() -> None:
        keeper = keeper_of(Twisted(make_rulebook(), twist=FORGERIES[forgery]), tmp_path / "rulebook.json")
        with pytest.raises(InvalidRequest):
            await keeper.refresh()
        with pytest.raises(RulebookUnavailable):
            keeper.current()
        assert not (tmp_path / "rulebook.json").exists()

    run(story)


def test_an_unsigned_word_that_nothing_changed_keeps_nothing_fresh(tmp_path: Path) -> None:
    async def story() -> None:
        clock = MovingClock()
        link = Twisted(make_rulebook(limits=Limits(rulebook_age_max_s=60)), clock=clock)
        keeper = keeper_of(link, tmp_path / "rulebook.json", clock)
        await keeper.refresh()
        link.twist = FORGERIES["no signature"]
        clock.forward(61)
        with pytest.raises(InvalidRequest):
            await keeper.refresh()
        with pytest.raises(RulebookUnavailable):
            keeper.current()
        link.twist = lambda answer: answer
        await keeper.refresh()
        assert keeper.current().version == 1

    run(story)


def test_old_words_played_again_keep_nothing_fresh(tmp_path: Path) -> None:
    async def story() -> None:
        clock = MovingClock()
        link = Twisted(make_rulebook(limits=Limits(rulebook_age_max_s=60)), clock=clock)
        keeper = keeper_of(link, tmp_path / "rulebook.json", clock)
        await keeper.refresh()
        recorded = await FakeLink.rulebook(link, make_rulebook(limits=Limits(rulebook_age_max_s=60)).etag)
        assert recorded.body is None
        link.twist = lambda _: recorded
        for _ in range(4):
            clock.forward(20)
            await keeper.refresh()
        with pytest.raises(RulebookUnavailable):
            keeper.current()

    run(story)


def test_a_confirmation_of_another_rulebook_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        link = Twisted(make_rulebook())
        keeper = keeper_of(link, tmp_path / "rulebook.json")
        await keeper.refresh()
        link.rulebook_now = make_rulebook(version=2)
        link.twist = lambda answer: replace(answer, body=None)
        with pytest.raises(InvalidRequest):
            await keeper.refresh()
        assert keeper.current().version == 1

    run(story)


def kept(tmp_path: Path) -> Path:
    async def story() -> None:
        keeper = keeper_of(FakeLink(make_rulebook()), tmp_path / "rulebook.json")
        await keeper.refresh()

    run(story)
    return tmp_path / "rulebook.json"


@pytest.mark.parametrize("spoiled", ["rulebook.json", "rulebook.manifest"])
def test_what_was_changed_on_the_volume_is_not_taken_up(tmp_path: Path, spoiled: str) -> None:
    path = kept(tmp_path)
    file = tmp_path / spoiled
    data = file.read_bytes()

    async def restored() -> bool:
        keeper = keeper_of(FakeLink(down=True), path)
        await keeper.start()
        await keeper.settled()
        try:
            return keeper.fresh
        finally:
            await keeper.stop()

    assert asyncio.run(restored())
    for at in range(0, len(data), max(1, len(data) // 25)):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert not asyncio.run(restored()), at
    file.write_bytes(data)
    assert asyncio.run(restored())
    file.unlink()
    assert not asyncio.run(restored())


def test_the_age_of_a_kept_rulebook_is_its_signed_moment_not_the_files_time(tmp_path: Path) -> None:
    path = kept(tmp_path)

    async def story() -> None:
        clock = MovingClock()
        clock.forward(4000)
        path.touch()
        keeper = keeper_of(FakeLink(down=True), path, clock)
        await keeper.start()
        await keeper.settled()
        assert keeper.version == 1
        with pytest.raises(RulebookUnavailable):
            keeper.current()
        await keeper.stop()

    run(story)


def test_an_older_kept_rulebook_gives_way_and_a_newer_one_does_not_go_back(tmp_path: Path) -> None:
    path = kept(tmp_path)

    async def story() -> None:
        keeper = keeper_of(FakeLink(make_rulebook(version=2)), path)
        await keeper.refresh()
        assert keeper.version == 2
        back = keeper_of(FakeLink(make_rulebook(version=1)), path)
        await back.start()
        await back.settled()
        assert back.version == 2
        assert back.failures > 0
        await back.stop()

    run(story)


def test_listeners_do_not_wait_for_a_long_poll(tmp_path: Path) -> None:
    class Waiting(FakeLink):
        async def rulebook(self, etag: str, wait_s: float = 0.0) -> RulebookAnswer:
            if etag:
                assert wait_s == 20
                await asyncio.sleep(wait_s)
            return await super().rulebook(etag, wait_s)

    async def story() -> None:
        heard: list[int] = []
        keeper = RulebookKeeper(
            Waiting(make_rulebook()),  # type: ignore[arg-type]
            tmp_path / "rulebook.json",
            environment="production",
            clock=SystemClock(),
            verify=signature_holds,
            poll_s=0.01,
            wait_s=20,
        )
        keeper.on_poll.append(lambda: heard.append(1))
        await keeper.start()
        await until_async(lambda: len(heard) > 5)
        await keeper.stop()

    run(story)


def test_the_manifest_must_speak_of_the_version_in_the_body(tmp_path: Path) -> None:
    async def story() -> None:
        book = make_rulebook()
        body = rulebook_format.encode(replace(book, issued_at=""))
        now = stamp(SystemClock().now())
        from tests.engine.session.front import SIGNING_KEY

        manifest = Manifest.of(body, environment="production", version=7, issued_at=now).encode()
        answer = RulebookAnswer(book.etag, body, manifest, SIGNING_KEY.sign(manifest))
        keeper = keeper_of(Twisted(book, twist=lambda _: answer), tmp_path / "rulebook.json")
        with pytest.raises(InvalidRequest):
            await keeper.refresh()

    run(story)
