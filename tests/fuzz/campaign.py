"""Plays rounds of mutants, and finds the smallest mutant that shows each failure."""

import json
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from tests.fuzz.client_rounds import CLIENT_ENDPOINTS, play_clients
from tests.fuzz.drawing import draw_mutants
from tests.fuzz.mutations import Mutant
from tests.fuzz.other_rounds import play_days, play_logins, play_updates
from tests.fuzz.scene import FEED_OF_ENDPOINT, Finding, Options, Played, Scene
from tests.fuzz.server import Key

# The kinds of rounds, in turns.
_ROUNDS = ("clients",) * 8 + ("days",) + ("clients",) * 8 + ("updates", "logins", "days")
_MAX_OF_A_ROUND = {"clients": 600, "days": 30, "updates": 50, "logins": 40}
_FORMS = (
    Options(),
    Options(page_length=20),
    Options(page_length=5, audit_share=0.0),
    Options(api_format="xml"),
    Options(audit_share=0.0),
    Options(page_length=20, api_format="xml", audit_share=0.0),
)
# Searching the mutant that causes a failure takes several syncs: at most so many in one round.
_MAX_SOUGHT = 6
_LONGEST_ROUND = 600.0
_MAX_MEMORY_MB = 1_500


@dataclass(frozen=True)
class Failure:
    """A finding, the mutants that cause it, and the options to play them again."""

    finding: Finding
    options: Options
    mutants: tuple[tuple[Key, Mutant], ...]

    def to_json(self) -> str:
        """A line that REPLAY accepts."""
        return json.dumps(
            {
                "options": vars(self.options),
                "mutants": [[key[1], mutant.to_json()] for key, mutant in self.mutants],
            }
        )

    def __str__(self) -> str:
        return f"{self.finding.kind}: {self.finding.detail}\n  REPLAY={self.to_json()}"


def read_replay(text: str) -> tuple[Options, dict[Key, Mutant]]:
    """Read the options and the mutants of a line that `Failure.to_json` wrote."""
    content = json.loads(text)
    mutants = {}
    for subject, values in content["mutants"]:
        mutant = Mutant.from_json(values)
        mutants[(mutant.endpoint, subject, mutant.goods)] = mutant
    return Options(**content["options"]), mutants


@dataclass
class Tally:
    """The counts of a campaign so far."""

    mutants: int = 0
    rounds: int = 0
    seconds: float = 0.0
    memory_mb: int = 0
    served: Counter[str] = field(default_factory=Counter)
    pending: int = 0
    quarantined: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, played: Played, mutants: int) -> None:
        """Count a round."""
        self.mutants += mutants
        self.rounds += 1
        self.seconds += played.seconds
        self.memory_mb = max(self.memory_mb, played.memory_mb)
        self.served.update(played.served)
        self.pending += played.pending
        self.quarantined += played.quarantined

    def merge(self, other: "Tally") -> None:
        """Add the counts of another process."""
        self.mutants += other.mutants
        self.rounds += other.rounds
        self.seconds += other.seconds
        self.memory_mb = max(self.memory_mb, other.memory_mb)
        self.served.update(other.served)
        self.pending += other.pending
        self.quarantined += other.quarantined
        self.failures += other.failures

    def __str__(self) -> str:
        sent = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.served.items()))
        return (
            f"{self.mutants:,} mutants in {self.rounds} rounds; sent: {sent}; {self.pending:,}"
            f" readings pending, {self.quarantined:,} rows in quarantine; {self.memory_mb} MB at"
            f" most; {len(self.failures)} failures"
        )


def mutants_of_round(scene: Scene, seed: int, number: int, most: int) -> dict[Key, Mutant]:
    """Draw at most `most` mutants for a round: one per client and endpoint, day or login."""
    kind = _ROUNDS[number % len(_ROUNDS)]
    chance = Random(f"fuzz {seed} {number}")
    size = min(most, _MAX_OF_A_ROUND[kind])
    if kind == "clients":
        each = -(-size // len(CLIENT_ENDPOINTS))
        wanted = [(endpoint, each) for endpoint in CLIENT_ENDPOINTS]
    else:
        endpoints = {"days": "ClientInfoPeriod", "updates": "ClientUpdate"}
        wanted = [(endpoints.get(kind, "ManagerLogin"), size)]
    subjects = {"days": scene.mutable_days, "logins": range(size)}.get(kind, scene.mutable_clients)
    found: dict[Key, Mutant] = {}
    for endpoint, count in wanted:
        count = min(count, len(subjects))
        drawn = draw_mutants(endpoint, count, chance.getrandbits(32))
        for subject, mutant in zip(chance.sample(subjects, len(drawn)), drawn, strict=True):
            found[(endpoint, subject, mutant.goods)] = mutant
    return found


def play(
    scene: Scene, mutants: Mapping[Key, Mutant], options: Options, *, is_search: bool = False
) -> Played:
    """Play mutants of one kind; is_search: check only the results of the first sync."""
    endpoints = {key[0] for key in mutants}
    players: dict[str, Callable[..., Played]] = {
        "ClientInfoPeriod": play_days,
        "ClientUpdate": play_updates,
        "ManagerLogin": play_logins,
    }
    brief = partial(play_clients, recovers=not is_search, with_marts=not is_search)
    player = players.get(next(iter(endpoints), ""), brief)
    began = time.monotonic()
    played = player(scene, mutants, options)
    played.seconds = time.monotonic() - began
    played.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if played.seconds > _LONGEST_ROUND:
        played.findings.append(Finding("slow", f"{played.seconds:.0f} s for a round"))
    if played.memory_mb > _MAX_MEMORY_MB:
        played.findings.append(Finding("memory", f"{played.memory_mb} MB"))
    return played


def options_of_round(number: int) -> Options:
    """The page length, format and audit share of a round, in turns."""
    return _FORMS[number % len(_FORMS)]


def play_round(
    scene: Scene, mutants: Mapping[Key, Mutant], options: Options
) -> tuple[Played, list[Failure]]:
    """Play a round, and find the mutants that cause its failures."""
    played = first = play(scene, mutants, options)
    failures: list[Failure] = []
    left = dict(mutants)
    for _ in range(_MAX_SOUGHT):
        found = list(_failures(scene, left, options, played.findings))
        failures += found
        for failure in found:
            for key, _mutant in failure.mutants:
                left.pop(key, None)
        if all(finding.key is not None for finding in played.findings) or not left:
            break
        played = play(scene, left, options)
    return first, failures


def _failures(
    scene: Scene, mutants: Mapping[Key, Mutant], options: Options, findings: list[Finding]
) -> Iterator[Failure]:
    keys = {key[:2]: key for key in mutants}
    seen = set()
    for finding in findings:
        key = keys.get(finding.key[:2]) if finding.key is not None else None
        if key is not None and key not in seen:
            seen.add(key)
            yield Failure(finding, options, ((key, mutants[key]),))
    unknown = next((finding for finding in findings if finding.key is None), None)
    if unknown is not None:
        yield _search(scene, dict(mutants), options, unknown)


def _search(
    scene: Scene, mutants: dict[Key, Mutant], options: Options, finding: Finding
) -> Failure:
    """Halve the set of mutants as long as one half shows the same kind of failure."""
    of_feed = {k: m for k, m in mutants.items() if FEED_OF_ENDPOINT.get(k[0]) == finding.feed}
    if of_feed and (shown := _shown(scene, of_feed, options, finding)):
        mutants, finding = of_feed, shown
    while len(mutants) > 1:
        keys = sorted(mutants, key=str)
        for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
            smaller = {key: mutants[key] for key in half}
            if shown := _shown(scene, smaller, options, finding):
                mutants, finding = smaller, shown
                break
        else:
            break
    return Failure(finding, options, tuple(mutants.items()))


def _shown(
    scene: Scene, mutants: Mapping[Key, Mutant], options: Options, finding: Finding
) -> Finding | None:
    is_brief = finding.kind != "no recovery" and finding.feed != "marts"
    played = play(scene, mutants, options, is_search=is_brief)
    return next((one for one in played.findings if one.kind == finding.kind), None)


def shrink(scene: Scene, failure: Failure) -> Failure:
    """Remove mutations as long as the failure persists."""
    if len(failure.mutants) != 1:
        return failure
    ((key, mutant),) = failure.mutants
    at = 0
    while at < len(mutant.mutations) and len(mutant.mutations) > 1:
        fewer = mutant.mutations[:at] + mutant.mutations[at + 1 :]
        smaller = replace(mutant, mutations=fewer)
        if shown := _shown(scene, {key: smaller}, failure.options, failure.finding):
            mutant = smaller
            failure = Failure(shown, failure.options, ((key, mutant),))
        else:
            at += 1
    return failure
