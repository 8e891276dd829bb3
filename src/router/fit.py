"""What a contact needs, what an agent can do, and whether the one fits the other. Values; looked at one by one.

`pages.py` answers the same for thousands at once; this is what its answers mean, and what an explanation says.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from src.router.model import LANGUAGE, LEVEL_MAX, AgentConfig

NO_CHANNEL: Final = ""
"""The channel of a need that takes no capacity: whoever is there has room for it."""


class Need(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """What a contact asks of an agent: the identity of a signature.

    `required` are (skill, level), `preferred` (skill, level, weight), both sorted; weights are not negative. `teams`:
    one of them, if any. `agents`: only these, if any; whoever is in `not_agents` or of one of `not_teams` is left out.
    `channel` may be `NO_CHANNEL`.
    """

    channel: str
    required: tuple[tuple[str, int], ...] = ()
    preferred: tuple[tuple[str, int, int], ...] = ()
    teams: tuple[str, ...] = ()
    not_teams: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    not_agents: tuple[str, ...] = ()

    def asked(self) -> tuple[str, ...]:
        """The skills that it names, required or preferred, each once."""
        return tuple(sorted({each for each, *_ in self.required} | {each for each, *_ in self.preferred}))


class Ability(msgspec.Struct, frozen=True, cache_hash=True, gc=False):
    """What an agent can do: the identity of a profile.

    `skills` are (skill, level) and hold the languages; `any_language` is an agent that names none and is taken to speak
    all. `channels` None: any.
    """

    skills: frozenset[tuple[str, int]] = frozenset()
    teams: frozenset[str] = frozenset()
    channels: frozenset[str] | None = None
    any_language: bool = True

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
