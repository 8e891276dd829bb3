"""What would become of a contact, and why: who fits, who does not and for which reasons, at every step of its queue.

It asks the same index and the same configuration that decide, and changes nothing. It looks at some agents one by one,
so it is for people who ask, never on the way of a contact.
"""

from collections import Counter
from collections.abc import Mapping
from heapq import nsmallest
from typing import Any, Final

from src.router.answers import ContactKey
from src.router.board import Board
from src.router.commands import Receive
from src.router.deadlines import can_overflow
from src.router.entities import FOREVER, Contact, requirements_from, requirements_json, terms_from, terms_json
from src.router.fit import Need, preference
from src.router.handlers.contacts import preferred
from src.router.intake import Intake
from src.router.model import LANGUAGE, Overflow, QueueConfig
from src.router.pages import Signature
from src.router.queueing import Loosened, is_closed
from src.router.splitting import parted
from src.router.waits import Estimate

AGENTS_MAX: Final = 200
"""So many agents are looked at one by one, those that fit first; the counts are over all, and of the index."""


def of_new(board: Board, intake: Intake, command: Receive) -> dict[str, Any]:
    """Of a contact that has not come.

    Where nobody takes it at once: what its queue would do with it (`overflow`), or how it would be split; then the
    agents and the steps are those for the lead's part.
    """
    found = intake.classify(command, board.now)
    policy = board.config.queue(found.queue, found.pilot)
    target = preferred(board, found, command.channel) if found.preferred else None
    named = None if target is None else str(target["target_agent_id"])
    contact = Contact(
        command.contact_id,
        command.customer_id,
        command.channel,
        command.account,
        board.now,
    )
    contact.queue, contact.priority, contact.language = found.queue, found.priority, found.language
    contact.tags, contact.requirements = tuple(each.tag for each in found.tags), found.requirements
    contact.pilot, contact.terms = found.pilot, found.terms
    agents = _agents(board, board.need(contact), {}, policy)
    sent_on, split = None, None
    if not (agents["candidates"] and board.is_open(contact)):
        sent_on = _overflow(board, contact)
        split = parted(board, contact) if policy.split and target is None and sent_on is None else None
    if split is not None:
        contact.requirements = split.mark(contact.requirements)
        agents = _agents(board, board.need(contact), {}, policy)
    return {
        "rules": list(found.rules),
        "alarms": [{"name": alarm.name, "level": alarm.level, "rule": rule} for rule, alarm in found.alarms],
        "queue": found.queue,
        "priority": found.priority,
        "language": found.language,
        "tags": [each.tag for each in found.tags],
        "requirements": requirements_json(found.requirements),
        "terms": terms_json(found.terms),
        "pilot": found.pilot,
        "preferred": None if target is None else {"agent_id": named, "kind": target["target_kind"]},
        "open": board.is_open(contact),
        "queue_is": board.queue_is(contact),
        "step": 0,
        "full": _is_full(board, contact),
        "overflow": sent_on,
        "split": None
        if split is None
        else {
            "lead": requirements_json(split.lead),
            "shared": requirements_json(split.shared),
        },
        **_outlook(
            board,
            contact,
            (board.now - found.priority * 1000, command.contact_id),
            at_once=bool(agents["candidates"]) and board.is_open(contact),
        ),
        **agents,
        "steps": _steps(board, Loosened.of(contact), policy, command.channel, 0),
    }


def of_transfer(board: Board, contact: Contact, from_agent_id: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Of a contact that leaves this agent, with what it then needs."""
    values = dict(changed)
    if "requirements" in values:
        values["requirements"] = requirements_from(values["requirements"])
        values["tags"] = tuple(values["tags"])
    if "terms" in values:
        values["terms"] = terms_from(values["terms"])
    if values.pop("anew", False) or values.get("queue", contact.queue) != contact.queue:
        values["step"] = 0
    bars = {
        agent_id: until for agent_id, until in contact.bars.items() if until < FOREVER
    }  # who was asked enough may be
    bars[from_agent_id] = board.now + board.handed_on_ms(contact)
    bars.pop(values.get("target_agent_id") or "", None)
    moved = contact.but(state="waiting", bars=bars, **values)
    return of_contact(board, moved)


def of_contact(board: Board, contact: Contact) -> dict[str, Any]:
    """Of a contact that is open."""
    policy = board.policy(contact)
    agents = _agents(board, board.need(contact), board.barred(contact), policy)
    at_once = bool(agents["candidates"]) and board.is_open(contact)
    preferred_agent = None
    if contact.target_agent_id is not None:
        preferred_agent = {"agent_id": contact.target_agent_id, "kind": contact.target_kind}
    return {
        "contact_id": contact.id,
        "state": contact.state,
        "queue": contact.queue,
        "priority": contact.priority,
        "language": contact.language,
        "tags": list(contact.tags),
        "requirements": requirements_json(contact.requirements),
        "terms": terms_json(contact.terms),
        "pilot": contact.pilot,
        "preferred": preferred_agent,
        "open": board.is_open(contact),
        "queue_is": board.queue_is(contact),
        "step": contact.step,
        **_outlook(board, contact, contact.key, waits=contact.state == "waiting", at_once=at_once),
        **agents,
        "steps": _steps(board, Loosened.of(contact), policy, contact.channel, contact.step),
    }


def _is_full(board: Board, contact: Contact) -> bool:
    """Whether its queue has no place for one more."""
    length = board.policy(contact).max_length
    return length is not None and board.index.length(contact.queue) >= length


def _overflow(board: Board, contact: Contact) -> dict[str, Any] | None:
    """What its queue would do with a contact that nobody takes at once; None: it would keep it."""
    policy = board.policy(contact)
    if is_closed(board, contact):
        closed = None if policy.hours is None else policy.hours.closed
        if closed is not None and can_overflow(board, contact, closed):
            return _overflow_json(closed, "closed")
    if policy.overflow is not None and _is_full(board, contact) and can_overflow(board, contact, policy.overflow):
        return _overflow_json(policy.overflow, "max_length")
    return None


def _overflow_json(where: Overflow, reason: str) -> dict[str, Any]:
    return {
        "reason": reason,
        "action": where.action,
        "queue": where.queue,
        "teams": list(where.teams),
        "message": where.message or None,
    }


def _outlook(
    board: Board, contact: Contact, key: ContactKey, *, waits: bool = True, at_once: bool = False
) -> dict[str, Any]:
    """The place in the queue and the likely wait, for one that waits or would, with this key; none, if `at_once`."""
    position = board.index.place(key, contact.queue) if waits else None
    if position is None or at_once:
        return {"position": position, "estimate": None if position is None else Estimate(0, 0, 0)}
    return {"position": position, "estimate": board.estimate(contact, position)}


def _steps(board: Board, loosened: Loosened, policy: QueueConfig, channel: str, done: int) -> list[dict[str, Any]]:
    """For each step that is still to come: what is asked from then on, and how many could take it."""
    shown = []
    for number, each in enumerate(policy.steps[done:], done + 1):
        loosened = loosened.after(each, policy.teams)
        fits, excluded = _counts(board, loosened.need(channel, policy.teams), {})
        shown.append(
            {"step": number, "after_s": each.after_s, **loosened.json(), "fits": fits, "excluded": excluded},
        )
    return shown


def _counts(board: Board, need: Need, barred: Mapping[str, int]) -> tuple[int, list[dict[str, Any]]]:
    """How many fit, and how many do not by the first reason, without looking at each."""
    signature = Signature(need)  # one that nobody waits with: counted now, and forgotten
    counts: Counter[str] = Counter()
    for code, count, _ in board.index.excluded(signature, barred).reasons:
        counts[code] += count
    excluded = [{"code": code, "count": n} for code, n in sorted(counts.items())]
    return board.index.agents() - (counts.total() - counts["deleted"]), excluded


def _agents(board: Board, need: Need, barred: Mapping[str, int], policy: QueueConfig) -> dict[str, Any]:
    """Agents with all the reasons against them: those that fit, in the order in which they would be asked, and others.

    The others are the first by id, those with the fewest reasons first.
    """
    fits, excluded = _counts(board, need, barred)
    best = board.index.candidates(board.index.signature(need), barred, AGENTS_MAX, policy.distribution, policy.weights)
    chosen = dict.fromkeys(each.agent_id for each in best)
    others = nsmallest(AGENTS_MAX - len(chosen), (each for each in board.config.agents if each not in chosen))
    shown = [_shown(board, need, barred, agent_id) for agent_id in others]
    shown.sort(key=lambda each: (not each["fits"], len(each["reasons"]), -each["score"], each["idle_since"]))
    return {
        "candidates": fits,
        "excluded": excluded,
        "agents": [_shown(board, need, barred, agent_id) for agent_id in chosen] + shown,
    }


def _shown(board: Board, need: Need, barred: Mapping[str, int], agent_id: str) -> dict[str, Any]:
    reasons = _reasons(board, need, barred, agent_id)
    agent, desk = board.state.agents[agent_id], board.desk(agent_id)
    fits = reasons[0]["code"] == "fits"
    return {
        "agent_id": agent_id,
        "fits": fits,
        "reasons": [] if fits else reasons,
        "score": preference(need, desk.ability),
        "status": agent.status,
        "connected": agent.connected,
        "load": agent.load,
        "capacity": desk.now.capacity,
        "idle_since": agent.idle_since,
    }


def _reasons(board: Board, need: Need, barred: Mapping[str, int], agent_id: str) -> list[dict[str, Any]]:
    """All reasons against an agent, or the one that it fits."""
    agent, desk = board.state.agents[agent_id], board.desk(agent_id)
    config = desk.now
    found: list[dict[str, Any]] = []
    if need.agents and agent_id not in need.agents:
        found.append({"code": "not_the_target"})
    if agent_id in need.not_agents:
        found.append({"code": "excluded"})
    if config.channels is not None and need.channel not in config.channels:
        found.append({"code": "channel", "wanted": need.channel})
    if need.teams and set(need.teams).isdisjoint(config.teams):
        found.append({"code": "team", "wanted": list(need.teams), "has": list(config.teams)})
    if not set(need.not_teams).isdisjoint(config.teams):
        found.append({"code": "team_excluded", "has": list(config.teams)})
    found.extend(_lacking(board, need, agent_id))
    if not agent.there:
        status = (
            agent.status if agent.status != "available" else "paused" if agent.paused is not None else "disconnected"
        )
        found.append({"code": status, "reason": agent.reason if agent.paused is None else agent.paused})
    elif config.cost(need.channel) is not None and not board.index.can_take(agent_id, need.channel):
        room = {"load": agent.load, "capacity": config.capacity, "cost": config.cost(need.channel)}
        found.append({"code": "no_capacity", **room, "limit": desk.limit(agent, need.channel)})
    if agent_id in barred:
        found.append({"code": "barred", "until": barred[agent_id]})
    return found or [{"code": "fits"}]


def _lacking(board: Board, need: Need, agent_id: str) -> list[dict[str, Any]]:
    ability = board.desk(agent_id).ability
    levels = dict(ability.skills)
    found: list[dict[str, Any]] = []
    for skill, level in need.required:
        has = levels.get(skill, 0)
        if has >= level or (skill.startswith(LANGUAGE) and ability.any_language):
            continue
        if skill.startswith(LANGUAGE):
            found.append({"code": "language", "wanted": skill.removeprefix(LANGUAGE)})
        else:
            code = f"skill_level:{skill}" if skill in levels else f"skill_missing:{skill}"
            found.append({"code": code, "wanted": level, "has": has or None})
    return found
