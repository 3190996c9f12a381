"""A sample of `make fuzz`, and the named mutants that once broke something."""

from collections.abc import Iterator, Sequence

import pytest

from tests.fuzz.campaign import Failure, mutants_of_round, options_of_round, play_round
from tests.fuzz.mutations import Mutant
from tests.fuzz.regressions import REGRESSIONS
from tests.fuzz.scene import Options, Scene, open_scene
from tests.fuzz.server import Key

_SEED = 20260301
_ROUNDS = {
    "clients": ("OperationHistory", "LeadsPagingInfo", "ClientFavoriteDataInfo"),
    "days": ("ClientInfoPeriod",),
    "updates": ("ClientUpdate",),
    "logins": ("ManagerLogin",),
}

# Libraries warn of odd headers and dates; these warnings are not findings.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def scene(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A programme that was synced once."""
    with open_scene(postgres, tmp_path_factory.mktemp("fuzz")) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "size"),
    [
        pytest.param(0, 60, id="clients, whole histories"),
        pytest.param(0, 240, id="more clients, whole histories", marks=pytest.mark.slow),
        pytest.param(5, 120, id="clients, in pages, XML"),
        pytest.param(8, 24, id="registration days"),
        pytest.param(17, 40, id="profile updates"),
        pytest.param(18, 12, id="logins"),
    ],
)
def test_a_mutated_response_affects_only_its_client(scene: Scene, number: int, size: int) -> None:
    mutants = mutants_of_round(scene, _SEED, number, size)
    _played, failures = play_round(scene, mutants, options_of_round(number))
    _fail_with(failures)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", _ROUNDS)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(Options(), id="whole"),
        pytest.param(Options(5, "xml", audit_share=0.0), id="pages", marks=pytest.mark.slow),
    ],
)
def test_a_mutant_that_once_broke_a_sync_is_contained(
    scene: Scene, kind: str, options: Options
) -> None:
    """Play all mutants of a kind in one sync; a failure contains the names of its mutants."""
    mutants: dict[Key, Mutant] = {}
    names: dict[Key, str] = {}
    for endpoint in _ROUNDS[kind]:
        found = [one for one in REGRESSIONS if one.mutant.endpoint == endpoint]
        subjects: Sequence[object] = scene.mutable_days if kind == "days" else scene.mutable_clients
        for subject, (name, mutant) in zip(subjects, found, strict=False):
            key = (endpoint, subject, mutant.goods)
            mutants[key], names[key] = mutant, name
    _played, failures = play_round(scene, mutants, options)
    _fail_with(failures, names)


def _fail_with(failures: Sequence[Failure], names: dict[Key, str] | None = None) -> None:
    messages = []
    for failure in failures:
        known = [(names or {}).get(key, "") for key, _mutant in failure.mutants[:3]]
        messages.append(f"{', '.join(known)} {failure}")
    assert not failures, "\n\n".join(messages)
