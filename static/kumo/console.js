// A guest's screen: fetches a one-time address, joins noVNC to it, and offers keys, paste, picture, full screen.
import RFB from "../vendor/novnc/core/rfb.js";

const box = document.getElementById("console");
const words = JSON.parse(document.getElementById("words").textContent);
const $ = (id) => document.getElementById(id);
let rfb = null;

function say(text, tone = "busy") {
  $("console-say").hidden = !text;
  $("console-say").firstElementChild.textContent = text;
  const state = $("console-state");
  state.className = `state ${text ? tone : "ok"}`;
  state.textContent = text || words.connected;
}

async function address() {
  const here = new URL(location.href);
  if (!box.dataset.open) return "/" + (here.searchParams.get("path") || `console/ws?token=${encodeURIComponent(here.searchParams.get("token") || "")}`).replace(/^\/+/, "");
  const csrf = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
  const answer = await fetch(box.dataset.open, { method: "POST", headers: { "X-CSRFToken": csrf } });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  return said.ws;
}

async function connect() {
  rfb?.disconnect();
  rfb = null;
  say(words.connecting);
  try {
    const url = new URL(await address(), location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const mine = new RFB($("screen"), url.href, { wsProtocols: ["binary"] });
    rfb = mine;
    mine.scaleViewport = true;
    mine.background = "#0c0d10";
    mine.addEventListener("connect", () => { say(""); mine.focus(); });
    mine.addEventListener("disconnect", () => { if (rfb === mine) say(words.closed, "off"); });
  } catch (error) { say(error.message || words.lost, "bad"); }
}

// Characters as keysyms: Latin-1 is itself, the rest is Unicode with the high bit (X11's convention).
const keysym = (char) => char === "\n" ? 0xff0d : char === "\t" ? 0xff09 : char.codePointAt(0) < 0x100 ? char.codePointAt(0) : 0x1000000 + char.codePointAt(0);

const ACTIONS = {
  keys: () => rfb?.sendCtrlAltDel(),
  again: connect,
  full: () => document.fullscreenElement ? document.exitFullscreen() : box.requestFullscreen(),
  paste: () => $("paste").showModal(),
  shot() {
    const canvas = $("screen").querySelector("canvas");
    if (!canvas) return;
    const link = document.createElement("a");
    link.href = canvas.toDataURL("image/png");
    link.download = `${box.dataset.name || "console"}.png`;
    link.click();
  },
};
box.addEventListener("click", (event) => { const button = event.target.closest("[data-console]"); if (button) ACTIONS[button.dataset.console](); });
$("paste").addEventListener("close", async () => {
  if ($("paste").returnValue !== "yes" || !rfb) return;
  for (const char of $("paste").querySelector("textarea").value.replace(/\r\n/g, "\n")) {
    rfb.sendKey(keysym(char), null);
    await new Promise((done) => setTimeout(done, 12));
  }
  rfb.focus();
});
addEventListener("pagehide", () => rfb?.disconnect());
connect();
