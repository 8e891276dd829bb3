"""A model of how a tenant passes from process to process: lease, fence, forwarding, drain, return from the dead.

Every transition names the code that it stands for. Whatever the code does without waiting is one step here; processes
take their steps in any order, so that a paused or slow process needs no step of its own. Clocks are left out: a lease
may run out at any moment, a stored `places` may be as old as it likes, and a caller gives up when it likes. What is
kept of time is one thing: a process doubts its lease before the database does (`LeaseKeeper.good` counts from before
the renewal was sent).

Orders are of four kinds: `write` (not repeatable by itself: must stand in the journal at most once), `ask` (nothing is
committed: the answer tells how much of the journal its owner knew), `connect` (an agent's socket opens at the process
that was asked) and `return` (a process that was taken for dead vouches for its socket again).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.model.checker import Step

GOOD, DOUBTED, LAPSED = 2, 1, 0
UP, DRAINING, DEAD = "up", "draining", "dead"

Outcome = tuple[str, int]
"""`done` and the length of the journal that the answer speaks of; or a refusal and 0."""

NOT_OWNER: Outcome = ("not owner", 0)
IN_DOUBT: Outcome = ("fenced in doubt", 0)
UNAVAILABLE: Outcome = ("unavailable", 0)


class Entry(NamedTuple):
    """One event of the journal. `order` -1: the owner's own. `base`: the length of the journal it was decided upon."""

    order: int
    recorded: bool
    base: int
    session: int | None = None
    """What becomes of the agent's session: the process that holds it, -1: none; None: nothing does."""


class Item(NamedTuple):
    """`dispatch/inbox.py: Item`. `once`: an answer is stored under the order's id. `wire`: it came from a peer."""

    order: int
    attempt: int
    once: bool
    wire: bool


class Batch(NamedTuple):
    """A commit under way. `doubt`: its connection was lost once."""

    items: tuple[Item, ...]
    outcomes: tuple[Outcome, ...]
    entries: tuple[Entry, ...]
    base: int
    doubt: bool = False


class Loop(NamedTuple):
    """`dispatch/tenant.py: TenantLoop`. `knows` -1: not loaded."""

    knows: int = -1
    stopping: bool = False
    inbox: tuple[Item, ...] = ()
    batch: Batch | None = None


class Process(NamedTuple):
    """One process. `handing`: its loop has ended, the head row is not yet given on. `socket`: an agent's is open."""

    status: str = UP
    lease: int = GOOD
    loop: Loop | None = None
    handing: bool = False
    socket: bool = False


class Waiting(NamedTuple):
    """An order as its caller's process sees it (`dispatch/owner.py: Owner._until`).

    `floor`: so long was the journal of which callers had been told when it was given.
    """

    phase: str = "new"
    edge: int = -1
    attempt: int = 0
    travelled: bool = False
    floor: int = 0
    told: int = 0
    again: bool = False
    """The socket was doubted anew while it was being vouched for."""


class Budget(NamedTuple):
    """How many faults may still happen."""

    crashes: int
    lapses: int
    losses: int
    moves: int
    drains: int


NO_FAULTS: Final = Budget(0, 0, 0, 0, 0)


class World(NamedTuple):
    """Everything. `requests`: (order, attempt, to); `replies`: (order, attempt, outcome); `ghosts`: lost commits."""

    processes: tuple[Process, ...]
    orders: tuple[Waiting, ...]
    budget: Budget
    owner: int = -1
    journal: tuple[Entry, ...] = ()
    batch: tuple[int, Batch] | None = None
    requests: frozenset[tuple[int, int, int]] = frozenset()
    replies: frozenset[tuple[int, int, Outcome]] = frozenset()
    ghosts: frozenset[tuple[int, Batch]] = frozenset()


@dataclass(frozen=True, slots=True)
class Rules:
    """The size of a model, and which of the code's guards it has."""

    kinds: tuple[str, ...] = ("write", "ask")
    connected: int = -1
    """The process that holds an agent's socket from the beginning; -1: none does."""
    processes: int = 2
    attempts: int = 2
    budget: Budget = NO_FAULTS
    fence: bool = True
    commit_first: bool = True
    record: bool = True
    drain_first: bool = True
    look_at_head: bool = True
    """Without a commit nothing is answered before the head row was seen unchanged; false: while the lease runs."""
    heed_presence: bool = True
    """A process that is told that nobody holds the lease of a socket that it has vouches for that socket again."""
    forget_dead: bool = True

    def first(self) -> World:
        """Processes have started, and nobody has the tenant."""
        orders = tuple(Waiting("idle" if each.startswith("return") else "new") for each in self.kinds)
        processes = tuple(Process(socket=p == self.connected) for p in range(self.processes))
        opened = () if self.connected < 0 else (Entry(-1, recorded=False, base=0, session=self.connected),)
        return World(processes, orders, self.budget, journal=opened)


# -- small hands -------------------------------------------------------------------------------------------------------


def _put(world: World, p: int, process: Process) -> World:
    return world._replace(processes=(*world.processes[:p], process, *world.processes[p + 1 :]))


def _loop(world: World, p: int, loop: Loop | None) -> World:
    return _put(world, p, world.processes[p]._replace(loop=loop))


def _order(world: World, o: int, waiting: Waiting) -> World:
    return world._replace(orders=(*world.orders[:o], waiting, *world.orders[o + 1 :]))


def _live(world: World, p: int) -> bool:
    """`store/statements.py: _LIVE`: by the database's clock."""
    return p >= 0 and world.processes[p].lease != LAPSED


def session(journal: tuple[Entry, ...]) -> int:
    """Who holds the agent's socket as these events say; -1: nobody."""
    return next((each.session for each in reversed(journal) if each.session is not None), -1)


def _settle(rules: Rules, world: World, o: int, outcome: Outcome) -> World:
    """`Owner._until`: what becomes of an order when an attempt of it comes to this."""
    waiting = world.orders[o]
    world = world._replace(replies=frozenset(each for each in world.replies if each[0] != o))
    if outcome[0] == "done":
        world = _order(world, o, waiting._replace(phase="answered", told=outcome[1]))
        return _closed(rules, world, o)
    retried = outcome == NOT_OWNER or (outcome == IN_DOUBT and waiting.travelled)
    if retried and waiting.attempt + 1 < rules.attempts:
        return _order(world, o, waiting._replace(phase="trying", attempt=waiting.attempt + 1))
    return _closed(rules, _order(world, o, waiting._replace(phase="refused")), o)


def _closed(rules: Rules, world: World, o: int) -> World:
    """`api/stream.py: _connect, _reconnect`: a socket is known from before its order on, and closed upon a refusal."""
    waiting, kind = world.orders[o], rules.kinds[o]
    if waiting.again:
        return _order(world, o, Waiting("doubted", edge=waiting.edge))
    refused = waiting.phase == "refused" or (kind.startswith("return") and waiting.told < 0)
    if kind in ("write", "ask") or not refused:
        return world
    return _put(world, waiting.edge, world.processes[waiting.edge]._replace(socket=False))


def _answer(rules: Rules, world: World, items: tuple[Item, ...], outcomes: tuple[Outcome, ...]) -> World:
    """`inbox.py: Item.answer`; what came over the wire goes back over it (`internal.py: InternalApp._one`)."""
    for item, outcome in zip(items, outcomes, strict=True):
        waiting = world.orders[item.order]
        if waiting.attempt != item.attempt or waiting.phase not in ("here", "there"):
            continue  # nobody waits for it any more
        if item.wire:
            world = world._replace(replies=world.replies | {(item.order, item.attempt, outcome)})
        else:
            world = _settle(rules, world, item.order, outcome)
    return world


def _end(rules: Rules, world: World, p: int, items: tuple[Item, ...], outcome: Outcome) -> World:
    """`TenantLoop._serve` and `run`: the memory is thrown away, and whoever waits is told to try elsewhere."""
    loop = world.processes[p].loop
    assert loop is not None
    world = _loop(world, p, None)
    world = _answer(rules, world, items, (outcome,) * len(items))
    return _answer(rules, world, loop.inbox, (NOT_OWNER,) * len(loop.inbox))


# -- what can happen ---------------------------------------------------------------------------------------------------


def steps(rules: Rules, world: World) -> Iterator[Step[World]]:
    """Everything that can happen next."""
    for o in range(len(world.orders)):
        yield from _caller(rules, world, o)
    for request in world.requests:
        yield from _arrival(rules, world, request)
    for o, attempt, outcome in world.replies:
        assert world.orders[o].attempt == attempt
        after = _settle(rules, world, o, outcome)
        yield Step(f"order {o}: its answer arrives ({outcome[0]})", fault=False, after=after)
    for p, process in enumerate(world.processes):
        yield from _lease(rules, world, p)
        if process.status != DEAD:
            yield from _ownership(rules, world, p)
            if process.loop is not None:
                yield from _turns(rules, world, p, process.loop)
    for p, batch in world.ghosts:
        yield Step(f"{p}: its lost commit arrives late", fault=True, after=_late(rules, world, p, batch))


def _caller(rules: Rules, world: World, o: int) -> Iterator[Step[World]]:
    """`Owner.submit`, `_until`, `_where` in the process that the caller asked; `HttpPeers.ask`."""
    waiting, kind = world.orders[o], rules.kinds[o]
    if waiting.phase == "new":
        floor = max((each.told for each in world.orders if each.phase == "answered"), default=0)
        for p, process in enumerate(world.processes):
            if process.status == UP:
                after = _order(world, o, waiting._replace(phase="trying", edge=p, floor=floor))
                if kind == "connect":
                    after = _put(after, p, process._replace(socket=True))
                yield Step(f"order {o} ({kind}) is given to {p}", fault=False, after=after)
    elif waiting.phase == "doubted":
        if world.processes[waiting.edge].lease == GOOD:
            after = _order(world, o, waiting._replace(phase="trying"))
            yield Step(f"{waiting.edge} vouches for its socket", fault=False, after=after)
    elif waiting.phase == "trying":
        yield from _place(rules, world, o)
    elif waiting.phase == "there":
        after = _settle(rules, world, o, NOT_OWNER)
        yield Step(f"order {o}: {waiting.edge} loses the connection (PeerLost)", fault=False, after=after)


def _place(rules: Rules, world: World, o: int) -> Iterator[Step[World]]:
    waiting = world.orders[o]
    process = world.processes[waiting.edge]
    if process.loop is not None:
        if not process.loop.stopping:
            once = waiting.travelled and rules.record and rules.kinds[o] == "write"
            item = Item(o, waiting.attempt, once, wire=False)
            after = _loop(world, waiting.edge, process.loop._replace(inbox=(*process.loop.inbox, item)))
            after = _order(after, o, waiting._replace(phase="here"))
            yield Step(f"order {o} waits in the loop of {waiting.edge}", fault=False, after=after)
    else:
        for q in range(len(world.processes)):
            if q != waiting.edge:
                after = world._replace(requests=world.requests | {(o, waiting.attempt, q)})
                after = _order(after, o, waiting._replace(phase="there", travelled=True))
                yield Step(f"order {o}: {waiting.edge} sends it to {q}", fault=False, after=after)


def _arrival(rules: Rules, world: World, request: tuple[int, int, int]) -> Iterator[Step[World]]:
    """`InternalApp`, `Owner.carry_out`. Claiming is a step of its own. A dead process answers nothing (PeerLost)."""
    o, attempt, p = request
    rest = world._replace(requests=world.requests - {request})
    process = world.processes[p]
    current = world.orders[o].phase == "there" and world.orders[o].attempt == attempt
    if process.status == DEAD or process.loop is None or process.loop.stopping:
        after = rest._replace(replies=rest.replies | {(o, attempt, NOT_OWNER)}) if current else rest
        yield Step(f"order {o}: {p} does not serve it", fault=False, after=after)
        return
    item = Item(o, attempt, rules.record and rules.kinds[o] == "write", wire=True)
    after = _loop(rest, p, process.loop._replace(inbox=(*process.loop.inbox, item)))
    words = f"order {o} waits in the loop of {p}, to which it travelled"
    yield Step(words if current else f"{words} (an earlier copy)", fault=False, after=after)


def _lease(rules: Rules, world: World, p: int) -> Iterator[Step[World]]:
    """`dispatch/lease.py: LeaseKeeper`; `Parts.lease_good`."""
    process, budget = world.processes[p], world.budget
    if process.status == DEAD:
        if process.lease != LAPSED:
            yield Step(f"{p}: its lease runs out", fault=False, after=_put(world, p, process._replace(lease=LAPSED)))
        return
    if process.lease == GOOD and budget.lapses:
        after = _put(world, p, process._replace(lease=DOUBTED))
        after = after._replace(budget=budget._replace(lapses=budget.lapses - 1))
        yield Step(f"{p} doubts its lease", fault=True, after=after)
    if process.lease == DOUBTED:
        after = _put(world, p, process._replace(lease=LAPSED))
        yield Step(f"{p}: its lease runs out while it lives", fault=True, after=after)
    if process.lease != GOOD:
        after = _put(world, p, process._replace(lease=GOOD))
        yield Step(f"{p} renews its lease", fault=False, after=after)
    if budget.crashes:
        yield Step(
            f"{p} is killed",
            fault=True,
            after=_killed(world, p)._replace(budget=budget._replace(crashes=budget.crashes - 1)),
        )


def _doubted(rules: Rules, world: World, p: int) -> World:
    """`Hub.doubted`, `api/stream.py: vouch`: a socket takes its agent's lease again, once its process has its own."""
    back = f"return {p}"
    if not world.processes[p].socket or back not in rules.kinds:
        return world
    o = rules.kinds.index(back)
    waiting = world.orders[o]
    if waiting.phase in ("idle", "answered", "refused"):
        return _order(world, o, Waiting("doubted", edge=p))
    return world if waiting.phase == "doubted" else _order(world, o, waiting._replace(again=True))


def _killed(world: World, p: int) -> World:
    """Its memory and its callers' connections are gone; a commit that it had sent may still arrive."""
    loop = world.processes[p].loop
    if loop is not None and loop.batch is not None:
        world = world._replace(ghosts=world.ghosts | {(p, loop.batch)})
    world = _put(world, p, Process(DEAD, world.processes[p].lease))
    for o, waiting in enumerate(world.orders):
        if waiting.edge == p and waiting.phase in ("doubted", "trying", "here", "there", "answered"):
            gone = waiting.phase != "answered"
            world = _order(world, o, waiting._replace(phase="cut off")) if gone else world
            world = world._replace(replies=frozenset(each for each in world.replies if each[0] != o))
    return world


def _ownership(rules: Rules, world: World, p: int) -> Iterator[Step[World]]:
    """`Owner._claim`, `_hand_one`, `_stop_strays`, `drain`, `stop`; `statements.py: CLAIM, HAND, RELEASE`."""
    process, loop, budget = world.processes[p], world.processes[p].loop, world.budget
    free = world.owner in (-1, p) or not _live(world, world.owner)
    if loop is None and process.status == UP and not process.handing and process.lease != LAPSED and free:
        yield Step(f"{p} claims the tenant", fault=False, after=_loop(world._replace(owner=p), p, Loop()))
    if loop is not None and not loop.stopping:
        stopped = _loop(world, p, loop._replace(stopping=True))
        if world.owner != p:
            yield Step(f"{p} sees that another has its tenant", fault=False, after=stopped)
        elif process.status == DRAINING:
            yield Step(f"{p} ends its loop", fault=False, after=stopped)
        elif budget.moves:
            after = stopped._replace(budget=budget._replace(moves=budget.moves - 1))
            yield Step(f"{p} is to hand over, and ends its loop", fault=True, after=after)
    if loop is not None and loop.stopping and loop.batch is None and not loop.inbox:
        after = _put(world, p, process._replace(loop=None, handing=True))
        yield Step(f"the loop of {p} has ended", fault=False, after=after)
    if process.handing or (not rules.drain_first and loop is not None and loop.stopping):
        yield from _hand(world, p)
    if process.status == UP and budget.drains:
        after = _put(world, p, process._replace(status=DRAINING))
        yield Step(
            f"{p} is told to stop", fault=True, after=after._replace(budget=budget._replace(drains=budget.drains - 1))
        )
    busy = any(each.edge == p and each.phase in ("doubted", "trying", "here", "there") for each in world.orders)
    if process.status == DRAINING and loop is None and not process.handing and not busy:
        yield Step(f"{p} leaves", fault=False, after=_put(world, p, Process(DEAD, LAPSED)))


def _hand(world: World, p: int) -> Iterator[Step[World]]:
    rest = _put(world, p, world.processes[p]._replace(handing=False))
    heirs = [q for q, each in enumerate(world.processes) if q != p and each.status == UP and each.lease != LAPSED]
    if world.owner != p or not heirs:
        yield Step(f"{p} gives the tenant to nobody", fault=False, after=rest)
        return
    for q in heirs:
        yield Step(f"{p} hands the tenant to {q}", fault=False, after=rest._replace(owner=q))


def _turns(rules: Rules, world: World, p: int, loop: Loop) -> Iterator[Step[World]]:
    """`TenantLoop._attempt`; `memory.py: Memory.load`, `knows_all`, `commit`, `_send`; `Owner._check_sessions`."""
    if loop.batch is not None:
        yield from _commit(rules, world, p, loop, loop.batch)
    elif loop.knows < 0:
        if not loop.stopping:
            loaded = _loop(world, p, loop._replace(knows=len(world.journal)))
            yield Step(f"{p} loads the tenant", fault=False, after=loaded)
        else:
            yield Step(f"{p} ends without having loaded", fault=False, after=_end(rules, world, p, (), NOT_OWNER))
    else:
        holder = session(world.journal[: loop.knows])
        if rules.forget_dead and holder not in (-1, p) and not _live(world, holder):
            gone = Batch((), (), (Entry(-1, recorded=False, base=loop.knows, session=-1),), loop.knows)
            after = _loop(world, p, loop._replace(batch=gone))
            yield Step(f"{p} sees that {holder}, which holds a socket, is dead", fault=False, after=after)
        if loop.inbox:
            yield _decide(rules, world, p, loop)
        elif loop.knows < len(world.journal):
            after = _end(rules, world, p, (), NOT_OWNER)
            yield Step(f"{p} is fenced when time next brings it something to commit", fault=False, after=after)


def _decide(rules: Rules, world: World, p: int, loop: Loop) -> Step[World]:
    entries: list[Entry] = []
    outcomes: list[Outcome] = []
    known = world.journal[: loop.knows]
    for item in loop.inbox:
        entry, told = _run(rules, world, known, item, (*known, *entries))
        if entry is not None:
            entries.append(entry)
        outcomes.append(("done", told))
    batch = Batch(loop.inbox, tuple(outcomes), tuple(entries), loop.knows)
    rest = _loop(world, p, loop._replace(inbox=()))
    words = f"{p} decides {', '.join(f'order {each.order}' for each in loop.inbox)}"
    if entries:
        if not rules.commit_first:
            rest = _answer(rules, rest, batch.items, batch.outcomes)
        after = _put(rest, p, rest.processes[p]._replace(loop=loop._replace(inbox=(), batch=batch)))
        return Step(f"{words} upon {loop.knows} events", fault=False, after=after)
    if len(world.journal) == loop.knows if rules.look_at_head else world.processes[p].lease == GOOD:
        after = _answer(rules, rest, batch.items, batch.outcomes)
        return Step(f"{words}; nothing is to be committed, and it may answer", fault=False, after=after)
    after = _end(rules, rest, p, batch.items, NOT_OWNER)
    return Step(f"{words}; nothing is to be committed, and it may not answer", fault=False, after=after)


def _run(
    rules: Rules, world: World, known: tuple[Entry, ...], item: Item, so_far: tuple[Entry, ...]
) -> tuple[Entry | None, int]:
    """One job: `turn.py: Once`, `tenant.py: _run_once` (stored answers are looked up in the database)."""
    kind, edge = rules.kinds[item.order], world.orders[item.order].edge
    base = len(so_far)
    if kind == "ask":
        return None, base
    if kind == "write":
        stored = any(each.order == item.order and each.recorded for each in (*world.journal, *so_far))
        if item.once and stored:
            return None, base
        return Entry(item.order, item.once, base), base + 1
    holder = session(so_far)
    if kind.startswith("return") and holder not in (-1, edge):
        return None, -1  # replaced
    if holder == edge:
        return None, base
    return Entry(item.order, recorded=False, base=base, session=edge), base + 1


def _commit(rules: Rules, world: World, p: int, loop: Loop, batch: Batch) -> Iterator[Step[World]]:
    """`Memory._send`, `_went_through`; `statements.py: _FENCE`."""
    known = batch._replace(doubt=False)
    fits = len(world.journal) == batch.base or not rules.fence
    there = batch.doubt and world.batch == (p, known)
    answered = batch.items if rules.commit_first else ()
    if fits or there:
        after = world if there else _write(rules, world, p, known)
        after = _loop(after, p, loop._replace(batch=None, knows=batch.base + len(batch.entries)))
        after = _answer(rules, after, answered, batch.outcomes[: len(answered)])
        yield Step(f"{p} commits" if fits else f"{p} finds its commit there", fault=False, after=after)
    else:
        after = _end(rules, world, p, answered, IN_DOUBT if batch.doubt else NOT_OWNER)
        yield Step(f"{p} is fenced", fault=False, after=after)
    if batch.doubt:
        after = _loop(world, p, loop._replace(batch=None, knows=-1))
        after = _answer(rules, after, answered, (UNAVAILABLE,) * len(answered))
        yield Step(f"{p} gives its commit up", fault=True, after=after)
    elif world.budget.losses:
        lost = world._replace(budget=world.budget._replace(losses=world.budget.losses - 1))
        lost = _loop(lost, p, loop._replace(batch=batch._replace(doubt=True)))
        if fits:
            yield Step(f"{p} commits, but the answer is lost", fault=True, after=_write(rules, lost, p, known))
        late = lost._replace(ghosts=lost.ghosts | {(p, known)})
        yield Step(f"{p} loses the connection before its commit arrives", fault=True, after=late)


def _write(rules: Rules, world: World, p: int, batch: Batch) -> World:
    """Who is told that an agent has another socket closes its own; that it has none, doubts it (`Hub._lease_told`).

    It is told of what follows the opening of its socket, and of what came before that was answered.
    """
    for entry in batch.entries:
        if entry.session is None:
            continue
        for q, process in enumerate(world.processes):
            if process.socket and entry.session == -1 and rules.heed_presence and process.status != DEAD:
                world = _doubted(rules, world, q)
            elif q != entry.session and process.socket and entry.session >= 0:
                world = _put(world, q, process._replace(socket=False))
    return world._replace(journal=(*world.journal, *batch.entries), batch=(p, batch))


def _late(rules: Rules, world: World, p: int, batch: Batch) -> World:
    rest = world._replace(ghosts=world.ghosts - {(p, batch)})
    return _write(rules, rest, p, batch) if len(world.journal) == batch.base or not rules.fence else rest


# -- what must be so ---------------------------------------------------------------------------------------------------


def wrong(rules: Rules, world: World) -> str | None:
    """What may never be, in any state."""
    for n, entry in enumerate(world.journal):
        if entry.base != n:
            return "two processes have extended the same journal"
    written = [each.order for each in world.journal]
    for o, (kind, waiting) in enumerate(zip(rules.kinds, world.orders, strict=True)):
        if kind == "write" and written.count(o) > 1:
            return f"order {o} stands in the journal twice"
        if waiting.phase != "answered":
            continue
        if kind == "write" and o not in written[: waiting.told]:
            return f"order {o} was acknowledged, and is not in the journal"
        if kind == "ask" and not waiting.floor <= waiting.told <= len(world.journal):
            return f"order {o} was answered from {waiting.told} events, when {waiting.floor} had been acknowledged"
    return None


def wrong_at_rest(rules: Rules, world: World) -> str | None:
    """What may not stay so when nothing more happens."""
    for o, waiting in enumerate(world.orders):
        if waiting.phase in ("new", "doubted", "trying", "here", "there") and waiting.edge >= 0:
            return f"order {o} is never answered"
    if all(each.status != UP for each in world.processes):
        return None
    if world.owner < 0 or world.processes[world.owner].loop is None:
        return "nobody serves the tenant, though somebody could"
    holder = session(world.journal)
    if holder >= 0 and not _live(world, holder):
        return f"an agent counts as present by a socket of {holder}, which is dead"
    if rules.connected >= 0 or "connect" in rules.kinds:
        for p, process in enumerate(world.processes):
            if process.socket and holder == -1 and process.status == UP:
                return f"an agent's socket is open at {p}, and the agent counts as gone"
    return None
