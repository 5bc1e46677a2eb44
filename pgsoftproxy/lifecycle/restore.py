"""Bring deleted rows back: choose them, ask what stands in their way, bring parents back before their children.

Knows the order of the steps; must not know their SQL nor how the outcome is printed. A dry run is the same
transaction, rolled back: so it shows exactly what would happen, triggers and constraints included.
"""

from dataclasses import dataclass, field, replace

from pgsoftproxy.db.connection import Connection
from pgsoftproxy.db.restoring import IN_CONFLICT, Restoring, server_conflict, transaction
from pgsoftproxy.errors import RestoreFailed
from pgsoftproxy.model.policy import Protection
from pgsoftproxy.model.restorable import Scope
from pgsoftproxy.model.restore import (
    Conflict,
    LinkCount,
    Observe,
    Progress,
    Report,
    Selection,
    TableCount,
    Terms,
)


async def restore(
    connection: Connection, scope: Scope, asked: tuple[Selection, Terms], observe: Observe
) -> Report:
    """Bring back what is asked for, or report why not. Raises RestoreFailed where the server refuses."""
    selection, terms = asked
    async with transaction(connection, terms.lock_timeout) as steps:
        job = _Job(steps, scope, terms, observe)
        await job.choose(selection)
        report = await job.check()
        if report.conflict_count and not terms.skip:
            return report
        report = await job.bring_back()
        if job.refused or terms.dry_run or not report.rows:
            return report
        await steps.commit()
        return replace(report, done=True)


@dataclass(slots=True)
class _Job:
    """One restore under way."""

    steps: Restoring
    scope: Scope
    terms: Terms
    observe: Observe
    refused: list[Conflict] = field(default_factory=list)

    async def choose(self, selection: Selection) -> None:
        tables = self.scope.asked_tables(selection)
        for protection in tables:
            home = self.scope.home(protection.relation)
            found = await self.steps.choose_asked(selection, protection, home)
            if found is None and selection.table is not None:
                what = "a deletion id" if selection.deletions else "the time of deletion"
                raise RestoreFailed(f'table "{protection.label}" does not note {what}')
            self.observe(Progress("choose", protection.label, found or 0, found or 0))
        step = 0
        while await self._below(step):
            step += 1
        while self.terms.with_parents and await self._parents():
            pass
        await self.steps.count_again()

    async def _below(self, step: int) -> int:
        await self.steps.count_again()
        found = 0
        for link in self.scope.cascades:
            found += await self.steps.choose_below(link, self.scope.home(link.child.relation), step)
        return found

    async def _parents(self) -> int:
        found = 0
        for link in self.scope.inner:
            found += await self.steps.choose_parents(link, self.scope.home(link.parent.relation))
        return found

    async def check(self) -> Report:
        """Note what stands in the way; with `skip`, leave that out, and what would hang below it."""
        for link in self.scope.inner:
            await self.steps.lock_live_parents(link)
        for protection in self.scope.tables:
            await self.steps.note_taken_keys(protection)
        if self.terms.skip:
            await self.steps.drop_conflicting()
        await self._drop_orphans()
        return await self._report()

    async def _drop_orphans(self) -> None:
        while True:
            noted = 0
            for link in self.scope.inner:
                noted += await self.steps.note_orphans(link)
            if not noted or not self.terms.skip:
                return
            await self.steps.drop_conflicting()

    async def bring_back(self) -> Report:
        emptying = self.scope.emptying
        journal = emptying and await self.steps.has_journal()
        for number, link in enumerate(emptying if journal else ()):
            await self.steps.note_emptied(number, link)
        for group in self.scope.groups():
            if not await self._group(group):
                return await self._report()
        links = []
        for number, link in enumerate(emptying if journal else ()):
            links.append(await self.steps.put_back(number, link))
        if journal:
            await self.steps.forget_links()
        await self._verify()
        return await self._report(tuple(link for link in links if link is not None))

    async def _group(self, group: list[Protection]) -> bool:
        """Bring back one group; False if the server does not let it, and nothing is to be skipped."""
        chosen = await self.steps.counts()
        group = [protection for protection in group if protection.relation.oid in chosen]
        if not group:
            return True
        try:
            counts = await self.steps.bring_back(group)
        except IN_CONFLICT as error:
            if self.terms.skip and self._is_alone(group):
                await self._one_by_one(group[0])
                return True
            self.refused.append(server_conflict(group[0].label, error))
            return False
        total = sum(count.rows for count in chosen.values())
        for protection, count in zip(group, counts, strict=True):
            wanted = chosen[protection.relation.oid].rows
            if count != wanted:
                lost = wanted - count
                raise RestoreFailed(
                    f'a trigger or policy of "{protection.label}" keeps {lost} rows as they are'
                )
            self.observe(Progress("restore", protection.label, count, total))
        return True

    async def _one_by_one(self, protection: Protection) -> None:
        """Bring back the rows of a table singly, and leave out those that the server refuses."""
        for rel, tup in await self.steps.places(protection.relation):
            conflict = await self.steps.bring_back_one(protection, rel, tup)
            if conflict is not None:
                await self.steps.note_refused(rel, tup, conflict)
        await self.steps.drop_conflicting()
        await self._drop_orphans()

    def _is_alone(self, group: list[Protection]) -> bool:
        """Tell whether no row of a group waits for another one."""
        oids = {protection.relation.oid for protection in group}
        return len(group) == 1 and not any(
            {self.scope.home(end.relation).oid for end in (link.child, link.parent)} == oids
            for link in self.scope.inner
        )

    async def _verify(self) -> None:
        """Ask again, of the rows as they are now, whether each has its live parents."""
        for link in self.scope.inner:
            if await self.steps.note_orphans(link):
                raise RestoreFailed(f'"{link.label}" would lead from a live row to a deleted one')

    async def _report(self, links: tuple[LinkCount, ...] = ()) -> Report:
        chosen = await self.steps.counts()
        tables: list[TableCount] = [
            replace(chosen[protection.relation.oid], table=protection.label)
            for group in self.scope.groups()
            for protection in group
            if protection.relation.oid in chosen
        ]
        count, conflicts = await self.steps.conflicts()
        every = (*conflicts, *self.refused)
        return Report(tuple(tables), links, every, count + len(self.refused))
