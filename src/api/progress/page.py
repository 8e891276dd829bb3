"""The page that a link opens: words in Chinese and English, one style, no script, nothing from elsewhere."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

LANGUAGES: Final = ("zh-CN", "en")

_STYLE: Final = """\
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;padding:1.25rem;font:1rem/1.5 system-ui,-apple-system,"PingFang SC","Noto Sans CJK SC",sans-serif;
background:#f4f5f7;color:#1d2430}
main{max-width:40rem;margin:0 auto}
h1{font-size:1.4rem;margin:.5rem 0 1.25rem}
section{background:#fff;border:1px solid #d8dde5;border-radius:.75rem;padding:1rem 1.25rem;margin:0 0 1rem}
h2{font-size:1.1rem;margin:0 0 .5rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:0}
dt{color:#5a6575}
dd{margin:0;overflow-wrap:anywhere}
footer{color:#5a6575;font-size:.875rem}
@media (max-width:24rem){dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 .5rem}}
@media (prefers-color-scheme:dark){body{background:#14181f;color:#e6e9ee}
section{background:#1d232d;border-color:#343d4b}dt,footer{color:#a3adbb}}
"""

POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy: this style, and nothing else."""

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "zh-CN": {
        "title": "办理进度",
        "nothing": "目前没有正在处理的事项。",
        "state": "状态",
        "waiting": "排队等候中",
        "active": "客服正在处理",
        "parked": "已记录,将按约定时间继续处理",
        "ending": "处理即将完成",
        "closed": "已结束",
        "opened_at": "提交时间",
        "closed_at": "结束时间",
        "promised_at": "约定时间",
        "position": "排队位置",
        "wait": "预计等候",
        "minutes": "约 {} 分钟",
        "soon": "不到 1 分钟",
        "help": "协同处理",
        "requested": "已请相关同事协助",
        "accepted": "相关同事正在协助",
        "answer_by": "答复时间不晚于",
        "news_by": "进展告知不晚于",
        "solution_by": "解决时间不晚于",
        "as_of": "更新于 {}。链接有效期至 {}。",
        "voice": "电话",
        "webchat": "网上聊天",
        "wechat": "微信",
        "email": "电子邮件",
        "gone_title": "链接已失效",
        "gone": "请联系我们,获取新的链接。",
    },
    "en": {
        "title": "How your request stands",
        "nothing": "Nothing is open at the moment.",
        "state": "State",
        "waiting": "Waiting for an agent",
        "active": "An agent is taking care of it",
        "parked": "Noted: we go on at the time that was agreed",
        "ending": "Being finished",
        "closed": "Closed",
        "opened_at": "Received",
        "closed_at": "Closed at",
        "promised_at": "Agreed for",
        "position": "Place in the queue",
        "wait": "Likely wait",
        "minutes": "about {} min",
        "soon": "less than a minute",
        "help": "Help",
        "requested": "A colleague has been asked",
        "accepted": "A colleague is working on it",
        "answer_by": "Answer by",
        "news_by": "News by",
        "solution_by": "Solution by",
        "as_of": "As of {}. This link works until {}.",
        "voice": "Phone call",
        "webchat": "Chat on the website",
        "wechat": "WeChat",
        "email": "E-mail",
        "gone_title": "This link no longer works",
        "gone": "Please ask us for a new one.",
    },
}

_TIMES: Final = ("opened_at", "promised_at", "closed_at")
_HELP_TIMES: Final = ("answer_by", "news_by", "solution_by")


def language(accepted: str | None, otherwise: str) -> str:
    """The language that a browser likes best of those that there are; `otherwise` where it likes none of them."""
    best, weight = otherwise, 0.0
    for each in (accepted or "").split(",")[:20]:
        name, _, parameters = each.strip().partition(";")
        _, _, q = parameters.partition("q=")
        try:
            likes = float(q) if q else 1.0
        except ValueError:
            likes = 0.0
        found = {"zh": "zh-CN", "en": "en"}.get(name.partition("-")[0].lower())
        if found is not None and likes > weight:
            best, weight = found, likes
    return best


def words(name: str, lang: str) -> str:
    """A word of the page; a channel that has none is called as it is."""
    return _WORDS[lang].get(name, name)


def progress(found: Mapping[str, Any], zone: ZoneInfo, lang: str) -> str:
    """The page of what is found, in the form of the JSON answer."""
    matters = "".join(_matter(each, zone, lang) for each in found["matters"])
    until = words("as_of", lang).format(_when(found["as_of"], zone), _when(found["expires_at"], zone))
    return _page(words("title", lang), f"{matters or _nothing(lang)}<footer>{escape(until)}</footer>", lang)


def gone(lang: str) -> str:
    """The page of a link that opens nothing."""
    return _page(words("gone_title", lang), f"<section><p>{escape(words('gone', lang))}</p></section>", lang)


def _nothing(lang: str) -> str:
    return f"<section><p>{escape(words('nothing', lang))}</p></section>"


def _matter(matter: Mapping[str, Any], zone: ZoneInfo, lang: str) -> str:
    lines = [(words("state", lang), words(matter["state"], lang))]
    if matter["position"] is not None:
        lines.append((words("position", lang), str(matter["position"])))
    if (wait_s := matter["estimated_wait_s"]) is not None:
        minutes = words("minutes", lang).format(-(-round(wait_s) // 60))
        lines.append((words("wait", lang), minutes if wait_s > 60 else words("soon", lang)))  # noqa: PLR2004
    lines.extend((words(name, lang), _when(matter[name], zone)) for name in _TIMES if matter[name] is not None)
    for each in matter["collaborations"]:
        lines.append((words("help", lang), words(each["state"], lang)))
        lines.extend((words(name, lang), _when(each[name], zone)) for name in _HELP_TIMES if each[name] is not None)
    return f"<section><h2>{escape(words(matter['channel'], lang))}</h2><dl>{_list(lines)}</dl></section>"


def _list(lines: Sequence[tuple[str, str]]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in lines)


def _when(text: str, zone: ZoneInfo) -> str:
    """A time as people of that zone read it, with the zone's distance from UTC."""
    at = datetime.fromisoformat(text).astimezone(zone)
    return f"{at:%Y-%m-%d %H:%M} (UTC{at:%z})"


def _page(title: str, body: str, lang: str) -> str:
    return (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
