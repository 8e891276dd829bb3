"""What may happen on a tape: one function for each kind, which makes a command of what there is and of a roll of dice.

Commands that make sense are made more often than others; those that do not must be refused and change nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from src.router import commands as c
from src.router import events as ev
from src.router import hours
from src.router.model import (
    AgentConfig,
    Alarm,
    AlarmLevel,
    ChannelLimit,
    DatedDeadlines,
    Deadlines,
    DepartmentConfig,
    Hours,
    Overflow,
    PilotConfig,
    QueueConfig,
    Restraint,
    RuleConfig,
    Settings,
    Step,
    TagConfig,
    TagRequest,
    Terms,
    TierConfig,
    TimeWindow,
    Weights,
)
from tests.property.tape.intake import WORDS

if TYPE_CHECKING:
    from tests.property.tape.player import Player

T = TypeVar("T")

SKILLS: Final = ("refund", "logistics", "fault")
CHANNELS: Final = ("voice", "webchat", "mail")
AGENTS: Final = ("a1", "a2", "a3", "a4", "a5")
QUEUES: Final = ("default", "vip", "spare")
TEAMS: Final = ("front", "vip", "law")
CUSTOMERS: Final = ("k1", "k2", "k3", "k4")


class Dice(Random):
    """What decides the details of an operation."""

    def one(self, *options: T) -> T:
        return self.choice(options)

    def some(self, options: Iterable[T], most: int) -> tuple[T, ...]:
        known = list(options)
        return tuple(self.sample(known, self.randint(0, min(most, len(known)))))

    def once_in(self, times: int) -> bool:
        return self.randrange(times) == 0


# -- contacts ----------------------------------------------------------------------------------------------------------


def _tags(dice: Dice, most: int = 3) -> tuple[TagRequest, ...]:
    return tuple(
        TagRequest(
            tag,
            level=dice.one(1, 1, 50, 80),
            required=not dice.once_in(3),
            weight=dice.randint(1, 3),
            expires_after_s=dice.one(None, None, None, 5, 40),
        )
        for tag in dice.some(SKILLS, dice.randint(0, most))
    )


def _terms(dice: Dice) -> Terms:
    if not dice.once_in(8):
        return Terms()
    return Terms(
        agents=dice.some(AGENTS, 3) if dice.once_in(3) else (),
        not_agents=dice.some(AGENTS, 2) if dice.once_in(2) else (),
        teams=dice.some(TEAMS, 2) if dice.once_in(3) else (),
        not_teams=dice.some(TEAMS, 1) if dice.once_in(3) else (),
    )


def receive(player: "Player", dice: Dice) -> c.Receive:
    player.contacts.append(player.new_id())
    return c.Receive(
        player.contacts[-1],
        dice.one(*CUSTOMERS),
        dice.one(*CHANNELS),
        text=_text(dice),
        tags=None if dice.once_in(4) else _tags(dice),
        language=dice.one(*(None,) * 6, "zh", "en-GB"),
        priority=dice.one(0, 0, 0, 60, 600),
        queue=dice.one(None, None, None, "vip", "spare"),
        tier=dice.one(None, None, "gold"),
        attributes={"region": dice.one("south", "north")},
        customer_attributes={"since": dice.one(2020, 2030)},
        dedicated_agent_id=dice.one(*AGENTS) if dice.once_in(5) else None,
        last_agent_id=dice.one(*AGENTS) if dice.once_in(5) else None,
        recent_tags=frozenset(dice.some(SKILLS, 1)),
        terms=_terms(dice),
        aside=dice.once_in(30),
        **_earlier(player, dice),
    )


def reach_out(player: "Player", dice: Dice) -> c.Command | None:
    """An agent is to turn to a customer of its own accord: in quiet hours that waits, unless it is urgent."""
    there = [each.id for each in player.engine.state.agents.values() if each.there]
    if not there:
        return None
    command = replace(receive(player, dice), tags=_tags(dice, 1), terms=Terms(), continues=None, aside=False)
    return replace(command, responsible_id=dice.choice(there), outbound=True, urgent=dice.once_in(8))


def _text(dice: Dice) -> str:
    """Some of the keywords, a space here and there."""
    said = [dice.one("退款", "退 款", "快递", "is broken", "hello") for _ in range(dice.randint(0, 3))]
    return dice.one("，", " ").join(said)


def _earlier(player: "Player", dice: Dice) -> dict[str, Any]:
    """Now and then it goes on with another contact, or an agent is to reach the customer."""
    earlier = player.contact(dice, "active", "parked") if dice.once_in(6) else None
    contact = player.engine.state.contacts.get(earlier or "")
    if contact is None:
        return {}
    held = player.engine.state.assignments.get(contact.assignment_id or "")
    agent_id = contact.owner_id if held is None else held.agent_id
    outbound = agent_id is not None and dice.once_in(2)
    urgent = outbound and dice.once_in(4)
    return {"continues": earlier, "responsible_id": agent_id, "outbound": outbound, "urgent": urgent}


def message(player: "Player", dice: Dice) -> c.Command | None:
    turned_to = {each.id for each in player.engine.state.contacts.values() if {*each.flags} & {"callback", "outreach"}}
    if turned_to and dice.once_in(2):
        contact = player.contact(dice, "waiting", "offered", "parked", where=lambda each: each.id in turned_to)
        return None if contact is None else c.Message(contact, player.new_id(), "text")
    silent = {each.contact_id for each in player.engine.state.assignments.values() if each.released}
    contact = player.contact(dice, "active", "parked", where=lambda each: not silent or each.id in silent)
    return None if contact is None else c.Message(contact, player.new_id(), "text")


def cancel(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "waiting", "offered", "active", "parked")
    return None if contact is None else c.Cancel(contact, dice.one("abandoned", "duplicate"))


def transfer(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "active")
    if contact is None:
        return None
    match dice.one("agent", "queue", "tags"):
        case "agent":
            return c.Transfer(contact, "t", to_agent_id=dice.one(*AGENTS))
        case "queue":
            return c.Transfer(contact, "t", to_queue=dice.one(*QUEUES))
        case _:
            return c.Transfer(contact, "t", to_tags=_tags(dice))


def give_back(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "active", where=lambda each: each.previous_agent_id is not None)
    return None if contact is None else c.Return(contact, "t")


def reclassify(player: "Player", dice: Dice) -> c.Command | None:
    if dice.once_in(4):
        had = player.contact(dice, "active", "parked", "wrap_up")
        return None if had is None else c.Reclassify(had, tags=_tags(dice))
    contact = player.contact(dice, "waiting")
    if contact is None:
        return None
    return c.Reclassify(
        contact,
        tags=_tags(dice) if dice.once_in(2) else None,
        queue=dice.one(None, None, *QUEUES),
        priority=dice.one(None, 0, 300),
        terms=_terms(dice) if dice.once_in(4) else None,
    )


def rejudge(player: "Player", dice: Dice) -> c.Command | None:
    contact_id = player.contact(dice, "waiting", "waiting", "offered", "active")
    contact = player.engine.state.contacts.get(contact_id or "")
    if contact is None:
        return None
    tags = tuple(TagRequest(each) for each in contact.tags)
    came = c.Receive(contact.id, contact.customer_id, contact.channel, tags=tags)
    was, now = (
        replace(came, tier=dice.one(None, "gold"), dedicated_agent_id=dice.one(None, *AGENTS)) for _ in range(2)
    )
    return c.Rejudge(was, now)


def escalate(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "waiting", "offered", "active", "parked")
    return None if contact is None else c.Escalate(contact, "s")


def park(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "active")
    until = player.now + dice.one(0, 10_000, 90_000, 200_000, 3_600_000)
    reason = dice.one("promised", "promised", "customer", "department")
    return None if contact is None else c.Park(contact, "t", until, reason)  # type: ignore[arg-type]


def set_aside(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "waiting", "offered", "active", "parked", "wrap_up")
    return None if contact is None else c.SetAside(contact)


def resume(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "parked")
    return None if contact is None else c.Resume(contact, "t")


# -- what the journal alone is told ------------------------------------------------------------------------------------


def mark_repeat(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "waiting", "offered", "active", "parked", "wrap_up")
    return None if contact is None else c.MarkRepeat(contact, dice.some(SKILLS, 1), tuple(player.contacts[:1]))


def link_problem(player: "Player", dice: Dice) -> c.Command | None:
    """A contact, open or ended, has the problem that others have, or has it no more."""
    if not player.contacts:
        return None
    contact = player.contact(dice, "waiting", "offered", "active", "parked") or player.contacts[-1]
    data = {"name": "outage", "by": dice.one(None, "s")}
    return c.Record(dice.one(ev.CONTACT_LINKED, ev.CONTACT_UNLINKED), dice.one(*CUSTOMERS), data, contact)


def report_problem(player: "Player", dice: Dice) -> c.Command:
    """The department is told of it, has an answer, or is asked once more."""
    kind = dice.one(ev.PROBLEM_REPORTED, ev.PROBLEM_SOLVED, ev.PROBLEM_REOPENED)
    data: dict[str, Any] = {"name": "outage", "department": "law"}
    if kind == ev.PROBLEM_REPORTED:
        data |= {"state": "open", "count": len(player.contacts), "contacts": player.contacts[-2:]}
    else:
        data["by"] = "s"
    return c.TellProblem(kind, data, None if kind == ev.PROBLEM_SOLVED else "law")


# -- agents' answers ---------------------------------------------------------------------------------------------------


def accept(player: "Player", dice: Dice) -> c.Command | None:
    assignment = player.assignment(dice, "offered")
    return None if assignment is None else c.Accept(assignment)


def decline(player: "Player", dice: Dice) -> c.Command | None:
    assignment = player.assignment(dice, "offered")
    return None if assignment is None else c.Decline(assignment)


def complete(player: "Player", dice: Dice) -> c.Command | None:
    assignment = player.assignment(dice, "active", "active", "parked", "wrap_up")
    given = dice.one(True, True, None)
    fields = frozenset(dice.some(("note", "amount"), 2))
    return None if assignment is None else c.Complete(assignment, resolved=given, fields=fields)


def finish_wrap_up(player: "Player", dice: Dice) -> c.Command | None:
    assignment = player.assignment(dice, "wrap_up")
    fields = frozenset(dice.some(("resolved", "note"), 2))
    return None if assignment is None else c.FinishWrapUp(assignment, fields=fields)


# -- a supervisor's hand -----------------------------------------------------------------------------------------------


def assign(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "waiting", "offered", "active", "parked")
    return None if contact is None else c.Assign(contact, dice.one(*AGENTS), "s", force=dice.once_in(3))


def take_back(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "offered", "active")
    return None if contact is None else c.TakeBack(contact, "s")


def pin(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "waiting")
    return None if contact is None else c.Pin(contact, None if dice.once_in(4) else dice.one(*AGENTS), "s")


def pause_agent(_: "Player", dice: Dice) -> c.Command:
    return c.PauseAgent(dice.one(*AGENTS), "s", paused=dice.once_in(2), reason=dice.one(None, "training"))


def pause_queue(player: "Player", dice: Dice) -> c.Command:
    config = player.engine.config.queues.get(dice.one(*QUEUES)) or QueueConfig("default")
    return c.PauseQueue(replace(config, paused=dice.once_in(3)), "s")


# -- agents come and go ------------------------------------------------------------------------------------------------


def presence(_: "Player", dice: Dice) -> c.Command:
    status = dice.one(*("available",) * 6, "away", "offline")
    return c.SetPresence(dice.one(*AGENTS), status, lease_s=dice.one(60, 3600, 3600))  # type: ignore[arg-type]


def connect(player: "Player", dice: Dice) -> c.Command:
    return c.Connect(dice.one(*AGENTS), player.new_id())


def disconnect(player: "Player", dice: Dice) -> c.Command | None:
    agent = player.engine.state.agents.get(dice.one(*AGENTS))
    return None if agent is None else c.Disconnect(agent.id, "older" if dice.once_in(4) else agent.session or "")


def restart(player: "Player", dice: Dice) -> None:
    player.restart(alike=dice.once_in(2), live=dice.once_in(2))


# -- collaboration -----------------------------------------------------------------------------------------------------


def collaborate(player: "Player", dice: Dice) -> c.Command | None:
    contact = player.contact(dice, "active", "active", "waiting", "parked")
    if contact is None:
        return None
    kind = dice.one("help", "help", "department", "approval")
    player.helps.append(player.new_id())
    return c.Collaborate(
        player.helps[-1],
        contact,
        "t",
        kind="approval" if kind == "approval" else "help",
        tags=_tags(dice, 1) if kind == "help" else (),
        department="law" if kind == "department" else None,
        to_agent_id=dice.one(*AGENTS) if kind == "approval" or dice.once_in(3) else None,
        deadlines=_deadlines(dice) if dice.once_in(2) else None,
    )


def accept_help(player: "Player", dice: Dice) -> c.Command | None:
    found = player.help(dice, "requested")
    return None if found is None else c.AcceptCollaboration(found, "t", dice.one(None, None, *AGENTS))


def reply(player: "Player", dice: Dice) -> c.Command | None:
    found = player.help(dice, "accepted", "requested")
    kind = dice.one("progress", "progress", "feedback", "solution")
    approved = dice.one(None, None, None, True, False)
    who = dice.one(None, *AGENTS)
    return None if found is None else c.ReplyCollaboration(found, "t", kind, approved, who)  # type: ignore[arg-type]


def close_help(player: "Player", dice: Dice) -> c.Command | None:
    found = player.help(dice, "requested", "accepted")
    return None if found is None else c.CloseCollaboration(found, "t", "enough", dice.one(None, *AGENTS))


# -- configuration -----------------------------------------------------------------------------------------------------


def _limits(dice: Dice) -> dict[str, ChannelLimit]:
    channels = [each for each in CHANNELS if not dice.once_in(4)] or [CHANNELS[0]]
    limits = {}
    for channel in channels:
        others = [each for each in channels if each != channel]
        limits[channel] = ChannelLimit(
            cost=dice.one(25, 25, 50, 100),
            max=dice.randint(1, 3),
            excludes=dice.some(others, 1) if dice.once_in(4) else ("*",) if dice.once_in(10) else (),
            interruptible=dice.once_in(3),
        )
    return limits


def put_agent(player: "Player", dice: Dice) -> c.Command:
    agent_id = dice.one(*AGENTS)
    skills = {each: dice.one(30, 60, 90) for each in SKILLS if not dice.once_in(3)}
    return c.PutAgent(
        AgentConfig(
            agent_id,
            skills=skills,
            skills_until=dict.fromkeys(dice.some(skills, 1), player.now + 20_000) if dice.once_in(4) else {},
            languages=dice.one((), (), (), ("zh",), ("zh", "en")),
            capacity=dice.one(50, 100, 100, 150),
            channels=None if dice.once_in(8) else _limits(dice),
            teams=dice.one((), ("front",), ("vip",), ("law",), ("front", "law")),
            mentor_id=dice.one(*(each for each in AGENTS if each != agent_id)) if dice.once_in(4) else None,
            newcomer_until=player.now + dice.one(30_000, 600_000) if dice.once_in(5) else None,
            newcomer_percent=dice.one(10, 50),
        )
    )


def delete_agent(_: "Player", dice: Dice) -> c.Command:
    return c.DeleteAgent(dice.one(*AGENTS))


def _steps(dice: Dice) -> tuple[Step, ...]:
    after_s, steps = dice.one(0, 10), []
    for _ in range(dice.randint(1, 3)):
        tags = (*SKILLS, "*", "language")
        match dice.one("drop", "prefer", "lower", "language", "any_team", "teams", "priority"):
            case "drop":
                step = Step(after_s, drop=(dice.one(*tags),))
            case "prefer":
                step = Step(after_s, prefer=(dice.one(*tags),))
            case "lower":
                step = Step(after_s, lower={dice.one(*tags): dice.one(1, 40)})
            case "language":
                step = Step(after_s, any_language=True)
            case "any_team":
                step = Step(after_s, any_team=True)
            case "teams":
                step = Step(after_s, add_teams=(dice.one(*TEAMS),))
            case _:
                step = Step(after_s, priority=dice.one(30, 300))
        steps.append(replace(step, alarm=_alarm(dice)) if dice.once_in(3) else step)
        after_s += dice.one(5, 20, 60)
    return tuple(steps)


def _alarm(dice: Dice) -> Alarm:
    level: AlarmLevel = dice.one("info", "warning", "critical")
    return Alarm(dice.one("vip-waits", "complaint"), level, dice.some(AGENTS, 2) if dice.once_in(2) else ())


def _overflow(dice: Dice, name: str, *, teams: bool) -> Overflow:
    action: str = dice.one("queue", "queue", "teams" if teams else "queue", "callback", "close")
    match action:
        case "queue":
            return Overflow("queue", queue=dice.one(*(each for each in QUEUES if each != name)))
        case "teams":
            return Overflow("teams", teams=(dice.one(*TEAMS),))
        case "callback":
            return Overflow("callback", message=dice.one("", "later"), callback_after_s=dice.one(20, 300))
        case _:
            return Overflow("close", message=dice.one("", "sorry"))


def _hours(dice: Dice, name: str) -> Hours:
    """The tape begins on Thursday, the first of January 1970, at a quarter past midnight."""
    spans = dice.one(((0, 18),), ((20, 1440),), ((0, 17), (19, 25)), ((1380, 30),))
    dates = {"1970-01-01": dice.one((), ((0, 40),))} if dice.once_in(3) else {}
    days = dict.fromkeys(range(7), spans)
    return Hours(
        dice.one("UTC", "UTC", "Europe/Lisbon"),
        days,
        dates,
        _overflow(dice, name, teams=False) if dice.once_in(2) else None,
    )


def queue_config(dice: Dice, name: str) -> QueueConfig:
    """A policy at random; one that contradicts itself is refused."""
    limited, slow, auto = dice.once_in(5), dice.once_in(5), dice.once_in(4)
    teams = ("front", "vip") if dice.once_in(4) else ()
    distribution = dice.one("longest_idle", "longest_idle", "least_loaded", "round_robin", "best_skilled", "weighted")
    return QueueConfig(
        name,
        within_s=dice.one(20, 30),
        offer_timeout_s=dice.one(10, 20),
        wrap_up_s=dice.one(0, 0, 15),
        reoffer_after_s=dice.one(None, 0, 25),
        teams=teams,
        distribution=distribution,  # type: ignore[arg-type]
        weights=dice.one(Weights(), Weights(1, 1, 5, 1), Weights(0, 0, 1, 2)) if distribution == "weighted" else None,
        steps=_steps(dice) if dice.once_in(2) else (),
        max_length=dice.one(0, 1, 3) if limited else None,
        max_wait_s=dice.one(15, 50) if slow else None,
        overflow=_overflow(dice, name, teams=bool(teams)) if limited or slow else None,
        hours=_hours(dice, name) if dice.once_in(8) else None,
        paused=dice.once_in(25),
        auto_accept=auto,
        asks_max=dice.one(None, None, None, 1, 2),
        offer_to=1 if auto else dice.one(1, 1, 2, 3),
        dedicated_wait_s=dice.one(0, 25, 60),
        last_agent_wait_s=dice.one(None, 25),
        owner_wait_s=dice.one(0, 30, 120),
        split=not dice.once_in(3),
        required_fields=dice.one((), (), (), ("resolved",), ("note",)),
        breather_s=dice.one(0, 10),
        breather_tags=("fault",),
    )


def put_queue(_: "Player", dice: Dice) -> c.Command:
    return c.PutQueue(queue_config(dice, dice.one(*QUEUES)))


def put_pilot(player: "Player", dice: Dice) -> c.Command:
    name = dice.one(*QUEUES)
    return c.PutPilot(
        PilotConfig(
            dice.one("p1", "p2"),
            percent=dice.one(0, 50, 100),
            attribute="region" if dice.once_in(2) else None,
            values=(),
            until_at=player.now + 600_000 if dice.once_in(3) else None,
            enabled=not dice.once_in(4),
            queues={name: queue_config(dice, name)},
        )
        if dice.once_in(2)
        else PilotConfig(
            dice.one("p1", "p2"),
            percent=50,
            attribute="region",
            values=("south",),
            queues={name: queue_config(dice, name)},
            rules=dice.one(None, {}, {"r1": _rule(dice, "r1")}),
        )
    )


def _rule(dice: Dice, name: str) -> RuleConfig:
    rule = RuleConfig(
        name,
        order=dice.randint(0, 3),
        queue=dice.one(None, "vip"),
        priority=dice.one(0, 30),
        add_tags=dice.one((), ("fault",)),
        preferred_agent_id=dice.one(None, *AGENTS),
        terms=_terms(dice),
        alarm=_alarm(dice) if dice.once_in(3) else None,
    )
    for _ in range(dice.randint(1, 2)):
        rule = replace(rule, **_condition(dice))
    return rule


def _condition(dice: Dice) -> dict[str, Any]:
    window = TimeWindow("Asia/Shanghai", dice.one((495, 510), (500, 520), (1380, 497)), dice.one((), (3, 4)))
    return dice.one(
        {"channels": (dice.one(*CHANNELS),)},
        {"tags_any": dice.some(SKILLS, 2)},
        {"tags_all": dice.some(SKILLS, 2)},
        {"tags_none": dice.some(SKILLS, 1)},
        {"customer_tiers": ("gold",)},
        {"languages": (dice.one("zh", "en"),)},
        {"attributes": {"region": ("south",)}},
        {"customer_attributes": {"since": (2020, "2030")}},
        {"text": dice.one(("退款",), ("broken", "快递"))},
        {"repeat": dice.once_in(2)},
        {"time": window},
    )


def put_rule(_: "Player", dice: Dice) -> c.Command:
    return c.PutRule(_rule(dice, dice.one("r1", "r2", "r3")))


def put_tag(_: "Player", dice: Dice) -> c.Command:
    requires = dice.one({}, {"refund": 50}, {"refund": 30, "fault": 60})
    tag = dice.one(*SKILLS)
    return c.PutTag(TagConfig(tag, keywords=dice.one((), (WORDS[tag],)), requires=requires))


def _deadlines(dice: Dice) -> Deadlines:
    return Deadlines(dice.one(None, 10, 100), dice.one(None, 20, 100), dice.one(None, 60))


def put_department(player: "Player", dice: Dice) -> c.Command:
    start = player.now + dice.one(-10_000, 30_000)
    season = DatedDeadlines(start, start + dice.one(40_000, 400_000), _deadlines(dice))
    return c.PutDepartment(
        DepartmentConfig(
            "law",
            teams=dice.one((), ("law",)),
            deadlines=_deadlines(dice),
            dated=(season,) if dice.once_in(2) else (),
            escalate_to=_one_of_them(player, dice) if dice.once_in(3) else None,
        )
    )


def _one_of_them(player: "Player", dice: Dice) -> str | None:
    """An agent who is configured: nobody else may be named."""
    return dice.one(None, *player.engine.config.agents)


def _tiers(player: "Player", dice: Dice) -> dict[str, TierConfig]:
    named = _one_of_them(player, dice) if dice.once_in(2) else None
    agents = () if named is None else (named,)
    return {"gold": TierConfig(dice.one(0, 120), agents, dice.one(None, None, 0, 40))}


def _quiet(dice: Dice) -> Hours:
    """Minutes of quiet a few times a day; the tape begins at a quarter past midnight."""
    minutes = tuple((begin, begin + 1) for begin in range(15, 45, 2))
    spans = dice.one(((0, 20),), ((16, 30), (60, 80)), ((20, 600),), ((1380, 18),), minutes, minutes)
    return Hours(dice.one("UTC", "UTC", "Europe/Lisbon"), dict.fromkeys(range(7), spans))


def put_settings(player: "Player", dice: Dice) -> c.Command:
    return c.PutSettings(
        Settings(
            on_agent_lost=dice.one({"*": "requeue", "voice": "hold"}, {"*": "hold", "mail": "requeue"}, {}),
            transfer_wait_s=dice.one(10, 120),
            tiers=_tiers(player, dice) if dice.once_in(2) else {},
            presence_grace_s=dice.one(10, 30),
            missed_offers_max=2,
            reoffer_after_s=dice.one(5, 30),
            silence_s=dice.one({}, {"*": 15}, {"webchat": 10, "mail": 90}),
            wait_flag_s=dice.one(60, 300),
            transfer_flag_count=dice.one(2, 3),
            escalation_priority_s=dice.one(60, 600),
            park_return_s=dice.one(0, 60),
            collaboration=_deadlines(dice),
            help_wait_s=dice.one(10, 60),
            restraint=Restraint() if dice.once_in(3) else Restraint(_quiet(dice)),
        )
    )


def restrain(player: "Player", dice: Dice) -> c.Command:
    """Quiet hours are others, and nothing else."""
    restraint = Restraint() if dice.once_in(3) else Restraint(_quiet(dice))
    return c.PutSettings(replace(player.engine.config.settings, restraint=restraint))


def delete_named(_: "Player", dice: Dice) -> c.Command:
    kind, names = dice.one(
        ("queue", QUEUES), ("pilot", ("p1", "p2")), ("rule", ("r1", "r2")), ("tag", SKILLS), ("department", ("law",))
    )
    return c.DeleteNamed(kind, dice.one(*names))  # type: ignore[arg-type]


def reconfigure(player: "Player", dice: Dice) -> c.Command:
    """Some of each kind at once, and one that goes, unless it is put."""
    kinds = (put_agent, put_queue, put_rule, put_tag, put_pilot, put_department, put_settings)
    puts: Any = tuple(put(player, dice) for put in kinds if dice.once_in(2))
    names = {getattr(each.config, "name", None) for each in puts if not isinstance(each, c.PutSettings)}
    gone: Any = delete_named(player, dice)
    return c.Reconfigure(puts, () if gone.name in names or dice.once_in(2) else (gone,))


# -- time, and looking without touching --------------------------------------------------------------------------------


def pass_time(player: "Player", dice: Dice) -> c.Command:
    quiet, due = player.engine.config.settings.restraint.quiet, player.engine.next_due()
    turns_at = None if quiet is None or not dice.once_in(8) else hours.next_change(quiet, player.now)
    if turns_at is not None:
        player.now = turns_at
        return c.Tick()
    if due is not None and due < player.now + 60_000 and dice.once_in(4):
        player.now = max(player.now, due - dice.one(0, 0, 1))
    else:
        player.now += dice.one(100, 1_000, 2_000, 5_000, 5_000, 11_000, 21_000, 31_000)
        if dice.once_in(12):
            player.now += dice.one(61_000, 200_000, 4_000_000)
    return c.Tick()


def dry_run_transfer(player: "Player", dice: Dice) -> None:
    command = transfer(player, dice)
    if isinstance(command, c.Transfer):
        player.dry_run_transfer(command)


def explain(player: "Player", dice: Dice) -> None:
    contact = player.contact(dice, "waiting", "waiting", "offered", "active")
    if contact is not None:
        player.explain(contact)


def dry_run(player: "Player", dice: Dice) -> None:
    command = receive(player, dice)  # nobody asks beforehand how a conversation would go on
    player.dry_run(replace(command, continues=None, responsible_id=None, outbound=False, urgent=False))


def checkpoint(_: "Player", __: Dice) -> c.Command:
    return c.Checkpoint()


Operation = Callable[["Player", Dice], c.Command | None]

OFTEN: Final[dict[str, Operation]] = {
    "receive": receive,
    "accept": accept,
    "complete": complete,
    "pass": pass_time,
}
SOMETIMES: Final[dict[str, Operation]] = {
    "presence": presence,
    "decline": decline,
    "message": message,
    "transfer": transfer,
    "give_back": give_back,
    "reclassify": reclassify,
    "rejudge": rejudge,
    "park": park,
    "resume": resume,
    "assign": assign,
    "take_back": take_back,
    "pin": pin,
    "escalate": escalate,
    "collaborate": collaborate,
    "accept_help": accept_help,
    "reply": reply,
    "put_agent": put_agent,
}
SELDOM: Final[dict[str, Operation]] = {
    "cancel": cancel,
    "finish_wrap_up": finish_wrap_up,
    "pause_agent": pause_agent,
    "pause_queue": pause_queue,
    "connect": connect,
    "disconnect": disconnect,
    "restart": restart,
    "set_aside": set_aside,
    "close_help": close_help,
    "mark_repeat": mark_repeat,
    "link_problem": link_problem,
    "report_problem": report_problem,
    "delete_agent": delete_agent,
    "put_queue": put_queue,
    "put_pilot": put_pilot,
    "put_rule": put_rule,
    "put_tag": put_tag,
    "put_department": put_department,
    "put_settings": put_settings,
    "restrain": restrain,
    "reach_out": reach_out,
    "delete_named": delete_named,
    "reconfigure": reconfigure,
    "explain": explain,
    "dry_run": dry_run,
    "dry_run_transfer": dry_run_transfer,
    "checkpoint": checkpoint,
}
OPERATIONS: Final = OFTEN | SOMETIMES | SELDOM
NAMES: Final = ["receive", "accept"] * 10 + [*OFTEN] * 10 + [*SOMETIMES] * 4 + [*SELDOM]
"""Every name, as often as it is to be drawn."""
