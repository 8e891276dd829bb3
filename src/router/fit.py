"""What a contact needs, what an agent can do, and whether the one fits the other. Values; looked at one by one.

`pages.py` answers the same for thousands at once; this is what its answers mean, and what an explanation says.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from src.router.model import LANGUAGE, LEVEL_MAX, AgentConfig
from src.router.native import mypyc_attr

NO_CHANNEL: Final = ""
"""The channel of a need that takes no capacity: whoever is there has room for it."""


@mypyc_attr(acyclic=True)
class Need:
    """What a contact asks of an agent: the identity of a signature.

    `required` are (skill, level), `preferred` (skill, level, weight), both sorted; weights are not negative. `teams`:
    one of them, if any. `agents`: only these, if any; whoever is in `not_agents` or of one of `not_teams` is left out.
    `channel` may be `NO_CHANNEL`.
    """

    __slots__ = ("_hash", "agents", "channel", "not_agents", "not_teams", "preferred", "required", "teams")

    def __init__(
        self,
        channel: str,
        required: tuple[tuple[str, int], ...] = (),
        preferred: tuple[tuple[str, int, int], ...] = (),
        teams: tuple[str, ...] = (),
        not_teams: tuple[str, ...] = (),
        agents: tuple[str, ...] = (),
        not_agents: tuple[str, ...] = (),
    ) -> None:
        self.channel: Final = channel
        self.required: Final = required
        self.preferred: Final = preferred
        self.teams: Final = teams
        self.not_teams: Final = not_teams
        self.agents: Final = agents
        self.not_agents: Final = not_agents
        self._hash: Final = hash((channel, required, preferred, teams, not_teams, agents, not_agents))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Need)
            and self._hash == other._hash
            and self.channel == other.channel
            and self.required == other.required
            and self.preferred == other.preferred
            and self.teams == other.teams
            and self.not_teams == other.not_teams
            and self.agents == other.agents
            and self.not_agents == other.not_agents
        )

    def __hash__(self) -> int:
        return self._hash

    def without(self, agents: Iterable[str]) -> "Need":
        """The same need, that leaves out these agents as well."""
        return Need(
            self.channel,
            self.required,
            self.preferred,
            self.teams,
            self.not_teams,
            self.agents,
            tuple(sorted({*self.not_agents, *agents})),
        )

    def asked(self) -> tuple[str, ...]:
        """The skills that it names, required or preferred, each once."""
        return tuple(sorted({each for each, *_ in self.required} | {each for each, *_ in self.preferred}))


@mypyc_attr(acyclic=True)
class Ability:
    """What an agent can do: the identity of a profile.

    `skills` are (skill, level) and hold the languages; `any_language` is an agent that names none and is taken to speak
    all. `channels` None: any.
    """

    __slots__ = ("_hash", "any_language", "channels", "skills", "teams")

    def __init__(
        self,
        skills: frozenset[tuple[str, int]] = frozenset(),
        teams: frozenset[str] = frozenset(),
        channels: frozenset[str] | None = None,
        *,
        any_language: bool = True,
    ) -> None:
        self.skills: Final = skills
        self.teams: Final = teams
        self.channels: Final = channels
        self.any_language: Final = any_language
        self._hash: Final = hash((skills, teams, channels, any_language))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Ability)
            and self._hash == other._hash
            and self.skills == other.skills
            and self.teams == other.teams
            and self.channels == other.channels
            and self.any_language == other.any_language
        )

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def of(cls, config: AgentConfig) -> "Ability":
        """The ability of an agent as configured."""
        levels = {f"{LANGUAGE}{primary(each)}": LEVEL_MAX for each in config.languages} | dict(config.skills)
        return cls(
            skills=frozenset(levels.items()),
            teams=frozenset(config.teams),
            channels=None if config.channels is None else frozenset(config.channels),
            any_language=not any(map(is_language, levels)),
        )


def primary(language: str) -> str:
    """The primary subtag of a language (BCP 47), by which languages are matched: `zh` of `zh-CN`."""
    return language.partition("-")[0].lower()


def is_language(skill: str) -> bool:
    """Whether this skill is a language."""
    return skill.startswith(LANGUAGE)


def level_of(skill: str, levels: Mapping[str, int], *, any_language: bool) -> int:
    """An agent's level in a skill: 0 where it has none. Who speaks all languages has each at the highest level."""
    return LEVEL_MAX if any_language and is_language(skill) else levels.get(skill, 0)


def misfit(need: Need, ability: Ability) -> str | None:
    """The first reason why an agent of this ability does not fit, as a stable code, or None where it fits.

    Of `agents` and `not_agents` it knows nothing: an ability is nobody's own.
    """
    if need.channel and ability.channels is not None and need.channel not in ability.channels:
        return "channel"
    if need.teams and ability.teams.isdisjoint(need.teams):
        return "team"
    if not ability.teams.isdisjoint(need.not_teams):
        return "team_excluded"
    levels = dict(ability.skills)
    for skill, level in need.required:
        has = level_of(skill, levels, any_language=ability.any_language)
        if has < level:
            if is_language(skill):
                return "language"
            return f"skill_level:{skill}" if has else f"skill_missing:{skill}"
    return None


def preference(need: Need, ability: Ability) -> int:
    """The score of a fitting ability: the weights of the preferred requirements that it meets."""
    levels = dict(ability.skills)
    return sum(
        weight
        for skill, level, weight in need.preferred
        if level_of(skill, levels, any_language=ability.any_language) >= level
    )


def mastery(need: Need, ability: Ability) -> int:
    """The sum of the levels that an ability has in the skills that a need names."""
    levels = dict(ability.skills)
    return sum(level_of(each, levels, any_language=ability.any_language) for each in need.asked())
