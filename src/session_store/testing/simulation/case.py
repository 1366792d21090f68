"""What is judged: a world at its end, and what was done in it and answered."""

from dataclasses import dataclass, field

from session_store.store.engine import Engine
from session_store.testing.history import Left

from .process import Process
from .truth import Deed, Log, read_log
from .world import World


@dataclass(slots=True)
class Case:
    """What is to be judged: a world in which nothing moves any more, and what was done in it.

    Answers of calls that began before `since` were true of another disk than this one.
    """

    world: World
    deeds: list[Deed]
    durability: str
    since: int = 0
    engines: dict[Process, Engine] = field(default_factory=dict)
    read: dict[tuple[str, bytes], Left] = field(default_factory=dict)
    """What a fresh process has read of logs of the same bytes before."""

    def log(self, session: str) -> Log:
        """Return what the bytes of a session's log say."""
        return read_log(self.world.bytes_of(f"{session}/messages.jsonl"))

    def holes(self, session: str) -> list[tuple[int, int]]:
        """Return where the log has damage that a power cut has done, perhaps to a seal.

        Whoever finds what a dead process has left of a line seals it off.
        """
        if not self.since:
            return []
        path, disk = f"{session}/messages.jsonl", self.world.disk
        return [piece for piece in self.log(session).damage if disk.has_hole(path, *piece)]

    def lossy(self, deed: Deed) -> bool:
        """Return whether a power cut was allowed to take what the call has answered."""
        return not deed.facts.get("durable", True) and deed.began < self.since

    def of(self, session: str) -> list[Deed]:
        """Return what was done in a session."""
        return [deed for deed in self.deeds if deed.session == session]

    def deleted(self, session: str, *outcomes: str) -> bool:
        """Return whether a delete of the session came to one of these ends."""
        return any(
            deed.kind == "delete" and deed.session == session and deed.outcome in outcomes
            for deed in self.deeds
        )
