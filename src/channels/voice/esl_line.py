"""One connection to a FreeSWITCH: its events in, our commands out, over its event socket. It does no I/O.

We dial it, and have logged in before this begins. Every command is answered, in their order, which tells the answers
apart. Callers are parked by the dial plan; held, they hear music that is broadcast to them, and are parked again when
their agent's side is gone. Agents are dialled in the background, under our own id, and parked when they answer.

Nothing is replayed after a lost connection: so the first thing is to ask what stands, channel by channel, and to tell
that as one `Standing`.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from src.channels.voice.calls import (
    Announce,
    Bridge,
    CallCommand,
    Dial,
    Drop,
    HangUp,
    Hold,
    Offered,
    Queued,
    Ring,
)
from src.channels.voice.esl import CALL_VARIABLE, TEMPORARY, EslCalls, Frame, fields_of, frame_of, id_of
from src.channels.voice.lines import Asked, Extension, Listing, Moved, object_of
from src.errors import Malformed

MUSIC: Final = "local_stream://moh"
LANGUAGE: Final = "en"
SEEN: Final = "cordboard_seen"
REASON_VARIABLE: Final = "cordboard_reason"
CONTACT_VARIABLE: Final = "cordboard_contact"
"""The channel's variables by which the dial plan knows why a caller has come back to it, and its contact."""

POSITION: Final = "ivr/ivr-you_are_number.wav"

_EVENTS: Final = (
    "CHANNEL_PARK CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_BRIDGE CHANNEL_HANGUP "
    "CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB DTMF"
)


class EslLine:
    """See `Conversation`. `music` is what may be broadcast to a channel, `language` a module of mod_say.

    `closed` is the extension, and perhaps context, to which callers go back whom their queue has not kept.
    """

    def __init__(
        self,
        app: str | None = None,
        music: str | None = None,
        language: str | None = None,
        closed: Extension | None = None,
    ) -> None:
        self._calls = EslCalls(app)
        self._music = music or MUSIC
        self._language = language or LANGUAGE
        self._closed = closed
        self._asked: deque[Asked] = deque()
        self._listing: Listing | None = None

    @property
    def waits_since_ms(self) -> int | None:
        """See `Conversation`."""
        return self._asked[0].at_ms if self._asked else None

    def begin(self, now_ms: int) -> Sequence[str]:
        """See `Conversation.begin`."""
        self._listing = Listing()
        return [
            self._command(f"event json {_EVENTS}", now_ms),
            self._command("api show channels as json", now_ms, what="list"),
            *self.ping(now_ms),
        ]

    def ping(self, now_ms: int) -> Sequence[str]:
        """See `Conversation.ping`: dial plans see by it that we are here."""
        return [self._command(f"api global_setvar {SEEN}={now_ms // 1000}", now_ms)]

    def take(self, text: str, now_ms: int) -> Moved:
        """See `Conversation.take`."""
        frame = frame_of(text)
        match frame.kind:
            case "text/event-json" | "text/event-plain" | "text/event-xml":
                return self._calls.take(fields_of(frame), now_ms), ()
            case "command/reply" | "api/response":
                return self._answered(frame, now_ms)
            case "" | "auth/request" | "text/rude-rejection" as kind:
                raise Malformed(f"FreeSWITCH says {kind or 'nothing without a type'} to nobody who is logged in")
            case _:  # log lines; that it is about to disconnect: none is an answer, and none was asked for
                return (), ()

    def tell(self, command: CallCommand, now_ms: int) -> Sequence[str]:
        """See `Conversation.tell`."""
        match command:
            case Hold(call_id):
                return self._hold(call_id, now_ms)
            case Announce(call_id, position):
                says = (f"playback::{POSITION}", f"say::{self._language} number pronounced {position}")
                return [
                    self._command(f"api uuid_break {call_id} all", now_ms),
                    *(self._broadcast(call_id, each, now_ms) for each in (*says, f"playback::{self._music}")),
                ]
            case Ring():
                return [self._ring(command, now_ms)]
            case Dial():
                return [self._dial(command, now_ms)]
            case Bridge(call_id, leg_id):
                asked = {"what": "bridge", "call_id": call_id, "leg_id": leg_id}
                return [
                    self._command(f"api uuid_break {call_id} all", now_ms),
                    self._command(f"api uuid_bridge {call_id} {leg_id}", now_ms, **asked),
                ]
            case HangUp() if command.reason and self._closed is not None:
                return self._give_back(command, self._closed, now_ms)
            case HangUp():
                return [self._hang_up(command.call_id, now_ms)]
            case Drop(leg_id):
                return [self._command(f"api uuid_kill {leg_id} NORMAL_CLEARING", now_ms)]

    # -- commands -----------------------------------------------------------------------------------------------

    def _command(self, line: str, now_ms: int, *, what: str = "", call_id: str = "", leg_id: str = "") -> str:
        assert line.isprintable() or "\nJob-UUID: " in line, "one command is one line"
        self._asked.append(Asked(now_ms, what, call_id, leg_id))
        return f"{line}\n\n"

    def _broadcast(self, call_id: str, what: str, now_ms: int) -> str:
        return self._command(f"api uuid_broadcast {call_id} {what} aleg", now_ms)

    def _hold(self, call_id: str, now_ms: int) -> Sequence[str]:
        """Mark the caller as ours, let nothing but a hang-up end its call, and play the music.

        A channel that talks is taken out of its bridge by being parked anew.
        """
        says = f"{CALL_VARIABLE}={call_id};park_after_bridge=true;hangup_after_bridge=false"
        frames = [
            self._command(f"api uuid_setvar_multi {call_id} {says}", now_ms, what="call", call_id=call_id),
            self._command(f"api uuid_answer {call_id}", now_ms),
        ]
        if self._calls.talked(call_id):
            frames.append(self._command(f"api uuid_park {call_id}", now_ms))
        music = f"api uuid_broadcast {call_id} playback::{self._music} aleg"
        return [*frames, self._command(music, now_ms, what="hold", call_id=call_id)]

    def _hang_up(self, call_id: str, now_ms: int) -> str:
        return self._command(f"api uuid_kill {call_id} NORMAL_CLEARING", now_ms, what="call", call_id=call_id)

    def _give_back(self, end: HangUp, closed: Extension, now_ms: int) -> Sequence[str]:
        """What marks the caller as ours is taken away: the dial plan may bridge it, and is not to find it parked."""
        self._calls.leaving(end.call_id)
        why = f"{REASON_VARIABLE}={end.reason};{CONTACT_VARIABLE}={end.contact_id}"
        says = f"{why};{CALL_VARIABLE}=;park_after_bridge=;hangup_after_bridge="
        to = f"{closed.exten} XML {closed.context}".rstrip()
        return [
            self._command(f"api uuid_setvar_multi {end.call_id} {says}", now_ms),
            self._command(f"api uuid_break {end.call_id} all", now_ms),
            self._command(f"api uuid_transfer {end.call_id} {to}", now_ms, what="transfer", call_id=end.call_id),
        ]

    def _ring(self, ring: Ring, now_ms: int) -> str:
        self._calls.dialled(ring.leg_id, ring.call_id)
        says = {
            "origination_uuid": ring.leg_id,
            CALL_VARIABLE: ring.call_id,
            "originate_timeout": str(ring.timeout_s),
            "ignore_early_media": "true",
            "origination_caller_id_number": _bare(ring.number),
            "origination_caller_id_name": _bare(ring.name),
        }
        return self._originate(ring.phone, says, now_ms, what="ring", call_id=ring.call_id, leg_id=ring.leg_id)

    def _dial(self, dial: Dial, now_ms: int) -> str:
        self._calls.dialled_out(dial.call_id)
        says = {
            "origination_uuid": dial.call_id,
            CALL_VARIABLE: dial.call_id,
            "originate_timeout": str(dial.timeout_s),
            "ignore_early_media": "true",
            "origination_caller_id_number": _bare(dial.number),
        }
        return self._originate(dial.phone, says, now_ms, what="dial", call_id=dial.call_id)

    def _originate(self, phone: str, says: Mapping[str, str], now_ms: int, **asked: str) -> str:
        """Dial in the background, under our own id, which is the job's, too."""
        quoted = {name: f"'{value}'" if " " in value else value for name, value in says.items()}
        variables = ",".join(f"{name}={value}" for name, value in quoted.items() if value)
        where = "".join(each for each in phone if each.isprintable() and not each.isspace())
        line = f"bgapi originate {{{variables}}}{where} &park()\nJob-UUID: {says['origination_uuid']}"
        return self._command(line, now_ms, **asked)

    # -- answers ------------------------------------------------------------------------------------------------

    def _answered(self, frame: Frame, now_ms: int) -> Moved:
        if not self._asked:
            raise Malformed("FreeSWITCH answered what was not asked")
        asked = self._asked.popleft()
        said = frame.body if frame.kind == "api/response" else frame.headers.get("reply-text", "")
        failed = said.startswith("-")
        match asked.what:
            case "list":
                return self._listed("" if failed else said, now_ms)
            case "dump":
                return self._dumped("" if failed else said)
            case "call" if said.startswith("-ERR No such channel"):
                return self._calls.gone(asked.call_id, now_ms), ()
            case "transfer" if not failed or said.startswith("-ERR No such channel"):
                return self._calls.gone(asked.call_id, now_ms), ()
            case "transfer":
                return (), [self._hang_up(asked.call_id, now_ms)]
            case "hold" if not failed and self._calls.has(asked.call_id):
                return (Queued(asked.call_id, now_ms),), ()
            case "dial" if failed:
                return self._calls.out_failed(asked.call_id, now_ms, TEMPORARY), ()
            case "ring" if failed:
                return self._calls.leg_failed(asked.leg_id, now_ms, TEMPORARY), ()
            case "bridge" if failed and self._calls.has(asked.call_id):
                kill = self._command(f"api uuid_kill {asked.leg_id} NORMAL_CLEARING", now_ms)
                return self._calls.leg_failed(asked.leg_id, now_ms, TEMPORARY), [kill]
        return (), ()

    def _listed(self, body: str, now_ms: int) -> Moved:
        rows = object_of(body).get("rows", [])
        if not body or not isinstance(rows, list):
            raise Malformed("show channels is answered by a list of channels")
        found = [id_of(each.get("uuid")) for each in rows if isinstance(each, dict)]
        frames = [
            self._command(f"api uuid_dump {each} json", now_ms, what="dump") for each in found if each is not None
        ]
        listing = self._listing = self._listing or Listing()
        listing.open = len(frames)
        return ((), frames) if frames else self._stands()

    def _dumped(self, body: str) -> Moved:
        listing = self._listing
        assert listing is not None, "channels are dumped while they are listed"
        stands = self._calls.stands(object_of(body))
        if isinstance(stands, Offered):
            listing.calls.append(stands)
        elif stands is not None:
            leg_id, answered, talks_to = stands
            listing.legs[leg_id] = answered
            if talks_to is not None:
                listing.talking.add((talks_to, leg_id))
        listing.open -= 1
        return self._stands() if listing.open == 0 else ((), ())

    def _stands(self) -> Moved:
        listing, self._listing = self._listing, None
        assert listing is not None
        self._calls.talk(listing.talking)
        return [listing.standing()], ()


def _bare(text: str) -> str:
    """What may stand in a variable of a dial string: FreeSWITCH reads quotes, brackets and commas in it."""
    return "".join(each for each in text if each.isprintable() and each not in "'\"{}[]<>,^$\\`&|;")[:80]
