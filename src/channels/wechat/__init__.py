"""WeChat Official Accounts (公众号, 服务号): what they push to us, and what we send. It keeps nothing.

    GET   WeChat checks that the address is ours: the answer is `echostr`.
    POST  a message or an event, in XML or JSON, plain or encrypted: the answer is `success`, never encrypted.

WeChat repeats a push three times if the answer takes more than 5 seconds; a repeat has the same `external_id`. A push
that cannot be taken is shown to the customer as a fault of ours: so whatever is proven and says who wrote is kept. An
openid means something within one account only: whoever ties identities to customers must keep the account beside it.

`crypto` verifies and decrypts, `parse` reads the fields, `normal` says what they mean. `sending` sends, `errors` says
what WeChat's refusals mean, `budget` how much may still be sent. Protocol:
developers.weixin.qq.com/doc/subscription/guide/dev/push/encryption.md and
developers.weixin.qq.com/miniprogram/dev/framework/server-ability/message-push.html.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from src.channels.base import Account, Budget, ChannelRequest, Media, Outbound, Reach, Receipt, Reply, Said, Sent
from src.channels.tencent.crypto import decrypt, key_of, verify
from src.channels.tencent.parse import ENCRYPT_CHARS_MAX, Fields, fields_of, required
from src.channels.wechat import budget
from src.channels.wechat.normal import IDENTITY_TYPE, is_known, message_of
from src.channels.wechat.sending import SEND, TYPING, Api, form_of, uploads_of
from src.errors import BadSignature, Malformed, NotFound, NotSent, StaleTimestamp

TIMESTAMP_TOLERANCE_S: Final = 300
"""How many seconds a push may differ from now, unless `timestamp_tolerance_s` says otherwise."""

TIMESTAMP_TOLERANCE_S_MAX: Final = 86_400
SETTING_CHARS_MAX: Final = 256
ECHOSTR_CHARS_MAX: Final = 256
TIMESTAMP_CHARS_MAX: Final = 12

MODES: Final = frozenset({"plain", "compatible", "safe"})
"""The three modes of an account's server configuration: plain text, both side by side, encrypted alone."""

_SETTINGS: Final = frozenset({"app_id", "mode", "timestamp_tolerance_s", "api_base_url"})
_SECRETS: Final = frozenset({"token", "encoding_aes_key", "previous_encoding_aes_key", "app_secret"})
_KEYS: Final = ("encoding_aes_key", "previous_encoding_aes_key")


class WeChat:
    """WeChat Official Accounts.

    Settings: `app_id` (needed with a key), `mode` (one of `MODES`; `safe` refuses plaintext pushes),
    `timestamp_tolerance_s` (seconds), `api_base_url` (where the sending side calls). Secrets: `token`,
    `encoding_aes_key`, `previous_encoding_aes_key` (still accepted while keys are changed), `app_secret` (needed, with
    `app_id`, to send).
    """

    name: ClassVar[str] = "wechat"
    window_s: ClassVar[int] = budget.MESSAGE[1]

    def check(self, settings: Mapping[str, object], secrets: Mapping[str, str]) -> None:
        """See `Channel.check`."""
        _refuse_unknown("settings", settings, _SETTINGS)
        _refuse_unknown("secrets", secrets, _SECRETS)
        _check_settings(settings)
        _check_secrets(secrets)
        has_key = "encoding_aes_key" in secrets
        if has_key and "app_id" not in settings:
            raise Malformed("app_id is needed with an encoding_aes_key", field="settings.app_id")
        if not has_key and "previous_encoding_aes_key" in secrets:
            raise Malformed("there is a previous key but no current one", field="secrets.encoding_aes_key")
        if not has_key and settings.get("mode", "plain") != "plain":
            raise Malformed("this mode needs an encoding_aes_key", field="secrets.encoding_aes_key")

    def receive(self, request: ChannelRequest, account: Account, now_ms: int) -> Receipt:
        """See `Receives.receive`.

        Raises:
            BadSignature: the signature, the key or the app id does not fit, or a plaintext push came in safe mode.
            StaleTimestamp: a push that would be kept is older, or newer, than the tolerance.
            Malformed: the body is not what the protocol says.
            NotFound: there is nothing but GET and POST at the account itself.
        """
        if request.path or request.method not in {"GET", "POST"}:
            raise NotFound("there is nothing at this address of a WeChat account")
        if request.method == "GET":
            return _echo(request.query, account)
        fields = _verified_fields(request, account)
        message = message_of(fields, account.name, account.queue)
        if message is None or not (is_known(message) or _is_fresh(request.query, account, now_ms)):
            return Receipt(Reply(b"success"))
        if not _is_fresh(request.query, account, now_ms):
            raise StaleTimestamp(f"the push is more than {_tolerance_s(account)} s away from now")
        return Receipt(Reply(b"success"), (message,))

    async def send(self, message: Outbound, account: Account, reach: Reach) -> Sent:
        """See `Sends.send`. WeChat knows no idempotency and gives no id: after a crash a message may be shown twice."""
        if message.identity_type != IDENTITY_TYPE:
            raise NotSent("unknown_recipient", "refused")
        api = Api(account, reach)
        uploaded = await uploads_of(message, api, reach)
        await api.call(SEND, form_of(message, uploaded))
        return Sent()

    async def fetch(self, source: str, account: Account, reach: Reach) -> Media:
        """See `Fetches.fetch`. WeChat keeps it for three days."""
        return await Api(account, reach).download(source)

    async def typing(self, to: str, account: Account, reach: Reach, *, on: bool) -> None:
        """See `Types.typing`."""
        command = "Typing" if on else "CancelTyping"
        await Api(account, reach).call(TYPING, {"touser": to, "command": command})

    def budget(self, said: Sequence[Said], now_ms: int) -> Budget:
        """See `Rations.budget`."""
        return budget.left(said, now_ms)


def _echo(query: Mapping[str, str], account: Account) -> Receipt:
    _verify_query(query, account)
    echostr = query.get("echostr", "")
    if not echostr.isprintable() or not 0 < len(echostr) <= ECHOSTR_CHARS_MAX:
        raise Malformed(f"echostr must be 1 to {ECHOSTR_CHARS_MAX} printable characters", field="echostr")
    return Receipt(Reply(echostr.encode()))


def _verified_fields(request: ChannelRequest, account: Account) -> Fields:
    """The fields of a push that is proven to come from WeChat, decrypted if need be."""
    query = request.query
    match query.get("encrypt_type", "raw"):
        case "aes":
            outer = fields_of(request.body)
            ciphertext = required(outer, "Encrypt", chars_max=ENCRYPT_CHARS_MAX)
            # In this mode `signature` proves nothing: it does not cover the body.
            verify(
                query.get("msg_signature"),
                account.secrets.get("token"),
                query.get("timestamp"),
                query.get("nonce"),
                ciphertext,
            )
            return fields_of(_decrypted(ciphertext, account))
        case "raw" | "":
            _verify_query(query, account)
            if account.settings.get("mode") == "safe":
                raise BadSignature("this account takes encrypted pushes only")
            return fields_of(request.body)
        case _:
            raise Malformed("encrypt_type must be aes or raw", field="encrypt_type")


def _verify_query(query: Mapping[str, str], account: Account) -> None:
    verify(query.get("signature"), account.secrets.get("token"), query.get("timestamp"), query.get("nonce"))


def _decrypted(ciphertext: str, account: Account) -> bytes:
    keys = [key_of(account.secrets[name]) for name in _KEYS if name in account.secrets]
    app_id = account.settings.get("app_id")
    if not keys or not isinstance(app_id, str):
        raise BadSignature("this account has no key to decrypt with")
    return decrypt(ciphertext, keys, app_id).message


def _is_fresh(query: Mapping[str, str], account: Account, now_ms: int) -> bool:
    timestamp = query.get("timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= TIMESTAMP_CHARS_MAX):
        raise Malformed("timestamp must be a number of seconds", field="timestamp")
    return abs(int(timestamp) * 1_000 - now_ms) <= _tolerance_s(account) * 1_000


def _tolerance_s(account: Account) -> int:
    tolerance_s = account.settings.get("timestamp_tolerance_s", TIMESTAMP_TOLERANCE_S)
    assert isinstance(tolerance_s, int), "check() lets nothing else in"
    return tolerance_s


def _refuse_unknown(where: str, given: Mapping[str, object], known: frozenset[str]) -> None:
    for name in given:
        if name not in known:
            raise Malformed(f"WeChat accounts have no such {where}", field=f"{where}.{name}")


def _check_settings(settings: Mapping[str, object]) -> None:
    for name in ("app_id", "api_base_url"):
        value = settings.get(name, "-")
        if not isinstance(value, str) or not _is_plain(value):
            raise Malformed(f"{name} must be 1 to {SETTING_CHARS_MAX} printable characters", field=f"settings.{name}")
    url = settings.get("api_base_url", "https://")
    if not str(url).startswith(("https://", "http://")):
        raise Malformed("api_base_url must begin with https:// or http://", field="settings.api_base_url")
    mode = settings.get("mode", "plain")
    if not isinstance(mode, str) or mode not in MODES:
        raise Malformed(f"mode must be one of {', '.join(sorted(MODES))}", field="settings.mode")
    tolerance_s = settings.get("timestamp_tolerance_s", TIMESTAMP_TOLERANCE_S)
    if type(tolerance_s) is not int or not 1 <= tolerance_s <= TIMESTAMP_TOLERANCE_S_MAX:
        raise Malformed(
            f"timestamp_tolerance_s must be 1 to {TIMESTAMP_TOLERANCE_S_MAX} seconds",
            field="settings.timestamp_tolerance_s",
        )


def _check_secrets(secrets: Mapping[str, str]) -> None:
    if "token" not in secrets:
        raise Malformed("token is missing", field="secrets.token")
    for name, value in secrets.items():
        if not isinstance(value, str) or not _is_plain(value):
            raise Malformed(f"{name} must be 1 to {SETTING_CHARS_MAX} printable characters", field=f"secrets.{name}")
        if name in _KEYS:
            try:
                key_of(value)
            except Malformed as error:
                raise Malformed(error.detail, field=f"secrets.{name}") from error


def _is_plain(value: str) -> bool:
    return 0 < len(value) <= SETTING_CHARS_MAX and value.isprintable()


CHANNEL: Final = WeChat()
