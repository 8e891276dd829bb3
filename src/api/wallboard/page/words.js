// What the page says, in Chinese and English.

const EN = {
  credential: "A supervisor's token, or an API key", enter: "Watch", leave: "Leave", close: "Close",
  hint: "The key that the first start printed will do. It stays in this tab.",
  waiting: "Waiting", agents: "Agents", told: "What happened", nobody: "Nobody waits.", none: "No agents yet.",
  nothing_yet: "Nothing yet.",
  live: "live", connecting: "connecting…", refused: "This credential may not watch.",
  sum_waiting: "waiting", sum_served: "with agents", sum_agents: "agents there", sum_oldest: "longest wait",
  available: "available", away: "away", offline: "offline", paused: "paused", gone: "lost its connection",
  more: "and {n} more", free: "free", why: "Why?",
  "contact.received": "came in", "contact.waiting": "waits", "contact.offered": "offered to {a}",
  "contact.active": "taken by {a}", "contact.requeued": "back in its queue", "contact.transferred": "handed on by {a}",
  "contact.parked": "set aside", "contact.resumed": "back from being set aside", "contact.relaxed": "asks for less",
  "contact.overflowed": "overflowed", "contact.escalated": "escalated", "contact.flagged": "flagged: {f}",
  "contact.alarm": "alarm: {n}", "contact.closed": "ended: {o}", "contact.late": "late", "offer.declined": "declined by {a}",
  "offer.expired": "{a} did not answer", "offer.revoked": "offer revoked", "assignment.wrap_up": "{a} wraps up",
  "sla.warning": "is about to wait too long", "sla.breached": "has waited too long", "customer.repeat": "came again",
  "agent.presence": "{a} is {p}", "collaboration.requested": "help asked for", "collaboration.accepted": "{a} helps",
  offered: "offered to {a}",
  winner: "Winner", runners: "Next in line", excluded: "Not asked", needs: "Needs", rules: "Rules", step: "step {n}",
  queue: "Queue", level: "level {n}", notrace: "Nothing was decided about it yet.", gone_contact: "It is no longer there.",
  team: "in another team", no_capacity: "busy", barred: "asked just now", excluded_agent: "ruled out", team_excluded: "ruled out", deleted: "no longer there",
  not_the_target: "it waits for somebody else", channel: "does not serve the channel", language: "another language",
  skill_missing: "lacks {s}", skill_level: "{s}: level too low", wechat: "WeChat", wecom: "WeCom", webchat: "web",
  voice: "call", people: "{n} × {r} (such as {a})", people_one: "{a}: {r}",
};

const ZH = {
  credential: "主管令牌或 API 密钥", enter: "查看", leave: "退出", close: "关闭",
  hint: "首次启动时打印的密钥即可；只保存在此标签页。",
  waiting: "排队中", agents: "坐席", told: "动态", nobody: "无人排队。", none: "还没有坐席。", nothing_yet: "暂无动态。",
  live: "实时", connecting: "连接中…", refused: "此凭证无权查看。",
  sum_waiting: "排队", sum_served: "服务中", sum_agents: "在线坐席", sum_oldest: "最长等待",
  available: "空闲可接", away: "离开", offline: "离线", paused: "已暂停", gone: "连接中断",
  more: "还有 {n} 个", free: "空闲", why: "为什么？",
  "contact.received": "进入", "contact.waiting": "排队", "contact.offered": "提供给 {a}",
  "contact.active": "{a} 接起", "contact.requeued": "回到队列", "contact.transferred": "{a} 转出",
  "contact.parked": "搁置", "contact.resumed": "恢复", "contact.relaxed": "放宽要求",
  "contact.overflowed": "溢出", "contact.escalated": "升级", "contact.flagged": "标记：{f}",
  "contact.alarm": "告警：{n}", "contact.closed": "结束：{o}", "contact.late": "已逾期", "offer.declined": "{a} 拒绝",
  "offer.expired": "{a} 未应答", "offer.revoked": "提供已撤回", "assignment.wrap_up": "{a} 整理中",
  "sla.warning": "即将超时", "sla.breached": "等待超时", "customer.repeat": "重复来访",
  "agent.presence": "{a} {p}", "collaboration.requested": "请求协助", "collaboration.accepted": "{a} 协助",
  offered: "提供给 {a}",
  winner: "选中", runners: "其后", excluded: "未询问", needs: "需要", rules: "规则", step: "第 {n} 步",
  queue: "队列", level: "等级 {n}", notrace: "尚无决定。", gone_contact: "已不存在。",
  team: "属于其他团队", no_capacity: "已满", barred: "刚被询问", excluded_agent: "被排除", team_excluded: "被排除", deleted: "已不存在",
  not_the_target: "在等另一位坐席", channel: "不服务此渠道", language: "语言不符",
  skill_missing: "缺少 {s}", skill_level: "{s} 等级不足", wechat: "微信", wecom: "企业微信", webchat: "网页",
  voice: "电话", people: "{n} × {r}（如 {a}）", people_one: "{a}：{r}",
};

export const language = navigator.language.startsWith("zh") ? "zh-CN" : "en";
const words = language === "en" ? EN : ZH;

/** The words of a name, with its blanks filled; a name that has none is shown as it is. */
export function say(name, blanks = {}) {
  return (words[name] ?? name).replace(/\{(\w+)\}/g, (_, blank) => blanks[blank] ?? "");
}

export const known = (name) => name in words;

/** So long, for people: seconds below two minutes, else minutes. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
}
