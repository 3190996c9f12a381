"""What a run finds out about the paging of its endpoint, by readings that trust no single page.

When it starts, it probes how the endpoint numbers its rows. Before it publishes, it verifies that
the largest single page ends where its total says.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from lcm_pipeline.api.errors import LoyaltyApiError, TransientError
from lcm_pipeline.model.errors import WorkStoppedError
from lcm_pipeline.model.tasks import Task
from lcm_pipeline.reading.errors import UnprovenReadingError
from lcm_pipeline.reading.proof import PagingHabits
from lcm_pipeline.sync.errors import SyncError
from lcm_pipeline.sync.fan_out import Read
from lcm_pipeline.sync.ledger import RunLedger
from lcm_pipeline.sync.threads import run_in_thread
from lcm_pipeline.warehouse.ingest import tasks

# Clients tried to probe how an endpoint pages, and to verify the largest page of a run.
_MAX_PROBES, _MAX_CHECKS = 3, 3


@dataclass(frozen=True)
class PagingChecks:
    """The checks of a run whose tasks are clients.

    habits: what is known of the paging; readings change them. read: reads a task from a source that
    trusts no single page.
    """

    ledger: RunLedger
    habits: PagingHabits
    slots: asyncio.Semaphore
    read: Read

    async def probe(self) -> None:
        """Read one client with full scrutiny, to learn how the endpoint numbers its rows.

        Once per endpoint: without it, each of the first readings would have to find out. A client
        that cannot be read shows nothing, so a few are tried.
        """
        if self.habits.is_base_proven:
            return
        async with self.slots:
            # Tasks of this run, so that a probe is not a request in addition to the reading.
            for task in await run_in_thread(partial(self.ledger.claim, _MAX_PROBES)):
                try:
                    outcome = await self.read(task)
                except WorkStoppedError:
                    raise
                except TransientError:
                    break
                except Exception:  # noqa: BLE001, S112 - it is read again, and reported then
                    continue
                await run_in_thread(partial(self.ledger.record, [outcome]))
                break
        await self.ledger.call(tasks.drop_claims)

    async def verify_largest_page(self) -> bool:
        """Verify the end of the largest single page; returns whether tasks were reopened.

        A source that caps Length and reports the cap as the total looks complete on every page.
        When the largest page is shown to end where its total says, all smaller pages are proven. A
        client that can no longer be read is left pending, and the next largest page is used.
        Reopened tasks are to be read from a source that trusts no single page.
        """
        habits = self.habits
        cause = ""
        for _ in range(_MAX_CHECKS):
            found = await self.ledger.call(tasks.largest_single_page)
            if found is None or found[1] <= habits.trusted_page:
                return False
            client_id, size = found
            base = habits.base
            try:
                has_all_rows = await self._has_all_rows(client_id, size)
            except WorkStoppedError:
                raise
            except Exception as error:  # noqa: BLE001 - it costs this client alone
                cause = str(error) if isinstance(error, LoyaltyApiError) else type(error).__name__
                pending = f"the end of its page could not be verified: {cause}"
                await self.ledger.call(tasks.fail_client, client_id, pending)
                continue
            if has_all_rows:
                return False
            # Pages at least as large may be capped too. With another base, every page is in doubt.
            floor = size if habits.base == base else 0
            await self.ledger.call(tasks.reopen_pages, floor)
            return True
        raise SyncError(
            f"the ends of the largest pages could not be verified: {cause}. What was read is"
            " kept: run the same command again to go on"
        )

    async def _has_all_rows(self, client_id: int, size: int) -> bool:
        """Read a client again; whether its page of `size` rows has all of them."""
        base = self.habits.base
        try:
            async with self.slots:
                outcome = await self.read(Task(client_id))
        except UnprovenReadingError:
            return False
        return outcome.source_total == size and self.habits.base == base
