// What pages do beyond links and forms: live refresh, actions in place, dialogs, palette, keys, toasts.
// Everything here improves pages that work without it; no text of its own, words come from the page.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const html = document.documentElement;
  const words = JSON.parse($("#words")?.textContent || "{}");
  const project = html.dataset.project;

  // --- toasts -----------------------------------------------------------------------------------
  const ICONS = { success: "circle-check", error: "circle-alert", warning: "triangle-alert" };
  function toast(tone, text) {
    const item = $("#toast-template")?.content.firstElementChild.cloneNode(true);
    if (!item) return;
    item.classList.add(tone);
    const use = $("use", item);
    use.setAttribute("href", use.getAttribute("href").replace("info", ICONS[tone] || "info"));
    $(".text", item).textContent = text;
    $("button", item).addEventListener("click", () => item.remove());
    $(".toasts").append(item);
    setTimeout(() => item.remove(), tone === "error" ? 15000 : 6000);
  }
  const toasts = (header) => header && JSON.parse(decodeURIComponent(header)).forEach(([tone, text]) => toast(tone, text));

  // --- live refresh -----------------------------------------------------------------------------
  // The stream carries kinds and ids; elements that name the kind in data-live ask for themselves again.
  let waiting = new Set(), timer = 0, connected = false;
  function refresh(events) {
    for (const event of events) waiting.add(event);
    if (!timer) timer = setTimeout(flush, 250);
  }
  function flush() {
    timer = 0;
    if (document.hidden || $("dialog[open] form")?.dataset.busy) { timer = setTimeout(flush, 1000); return; }
    const now = waiting; waiting = new Set();
    for (const element of $$("[data-live]")) {
      const kinds = element.dataset.live.split(" ");
      const wanted = [...now].some((event) => event === "*" || kinds.some((kind) => event === kind || event.startsWith(kind + ":") && (!element.dataset.liveId || event === kind + ":" + element.dataset.liveId)));
      if (wanted) htmx.trigger(element, "kumo:live");
    }
  }
  function offline(is) {
    connected = !is;
    html.toggleAttribute("data-live", !is);
    const sign = $("#offline");
    if (sign) sign.hidden = !is;
  }
  async function listen() {
    try {
      const answer = await fetch(`/p/${encodeURIComponent(project)}/live`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(answer.status);
      const source = new EventSource((await answer.json()).url);
      source.addEventListener("ready", () => { offline(false); refresh(["*"]); });
      source.addEventListener("changed", (event) => refresh(event.data.split(" ")));
      source.addEventListener("renew", () => { source.close(); listen(); });
      source.onerror = () => { source.close(); offline(true); setTimeout(listen, 5000 + Math.random() * 3000); };
      addEventListener("pagehide", () => source.close(), { once: true });
    } catch { offline(true); setTimeout(listen, 10000); }
  }
  if (project) {
    listen();
    setInterval(() => { if (!connected) refresh(["*"]); }, 10000);
    addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
    document.addEventListener("visibilitychange", () => { if (!document.hidden && waiting.size) flush(); });
  }
  // A refresh must not undo what the reader has set: ticks, open menus, what is being typed.
  if (window.Idiomorph) {
    Idiomorph.defaults.ignoreActiveValue = true;
    Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, fresh) => {
      if (old.nodeName === "DETAILS" && fresh.nodeName === "DETAILS") fresh.open = old.open;
      if (old.nodeName === "INPUT" && old.name === "id" && old.type === "checkbox") fresh.toggleAttribute("checked", old.checked);
      return true;
    };
  }

  // --- actions: forms with data-act are sent in place -----------------------------------------------
  async function send(form, button) {
    const data = new FormData(form, button);
    const action = button?.getAttribute("formaction") || form.getAttribute("action") || location.pathname;
    form.dataset.busy = "1";
    button?.setAttribute("aria-disabled", "true");
    try {
      const answer = await fetch(action, { method: "POST", body: data, headers: { "X-Kumo-Act": "1" }, redirect: "follow" });
      toasts(answer.headers.get("X-Kumo-Toasts"));
      const to = answer.headers.get("X-Kumo-Location");
      if (to) { location.assign(to); return; }
      form.closest("dialog")?.close();
      $$("input[name=id]:checked").forEach((box) => { box.checked = false; });
      picked();
      refresh(["*"]);
    } catch { toast("error", words.lost); }
    finally { delete form.dataset.busy; button?.removeAttribute("aria-disabled"); }
  }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-act]")) return;
    const button = event.submitter;
    event.preventDefault();
    closeMenus();
    if (button?.dataset.asks !== undefined) {
      const ids = new FormData(form, button);
      const chosen = ids.getAll("only").length ? ids.getAll("only") : ids.getAll("id");
      const query = new URLSearchParams(chosen.map((id) => ["id", id]));
      if (form.elements.next) query.set("next", form.elements.next.value);
      ask(`${button.getAttribute("formaction")}?${query}`);
      return;
    }
    send(form, button);
  });
  async function ask(url) {
    await htmx.ajax("GET", url, { target: "#modal", swap: "innerHTML" });
    const modal = $("#modal");
    if (modal.childElementCount && !modal.open) modal.showModal();
  }
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-modal]");
    if (opener) { event.preventDefault(); ask(opener.getAttribute("href") || opener.dataset.modal); }
    const help = event.target.closest("[data-help]");
    if (help) { closeMenus(); $("#" + help.dataset.help).showModal(); }
    if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
    if (event.target.nodeName === "DIALOG") event.target.close();
  });

  // --- selection --------------------------------------------------------------------------------
  function picked() {
    const boxes = $$("tbody input[name=id]"), ticked = boxes.filter((box) => box.checked);
    const all = $("#pick-all");
    if (all) { all.checked = boxes.length > 0 && ticked.length === boxes.length; all.indeterminate = ticked.length > 0 && ticked.length < boxes.length; }
    const bulk = $("#bulk");
    if (bulk) { bulk.hidden = !ticked.length; const figure = $("#picked"); if (figure) figure.textContent = ticked.length; }
  }
  document.addEventListener("change", (event) => {
    if (event.target.id === "pick-all") $$("tbody input[name=id]").forEach((box) => { box.checked = event.target.checked; });
    if (event.target.matches("#pick-all, input[name=id]")) picked();
    if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
  });

  async function copy(text) {
    if (navigator.clipboard) { try { await navigator.clipboard.writeText(text); return true; } catch { /* the old way below */ } }
    const box = document.createElement("textarea");
    box.value = text;
    box.className = "sr";
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }

  // --- menus, copying, theme, times -----------------------------------------------------------------
  const closeMenus = (but) => $$("details.menu[open]").forEach((menu) => { if (menu !== but) menu.open = false; });
  document.addEventListener("click", async (event) => {
    closeMenus(event.target.closest("details.menu"));
    const copier = event.target.closest("[data-copy], [data-copy-from]");
    if (copier) {
      const text = copier.dataset.copy ?? $(copier.dataset.copyFrom).textContent;
      toast(...(await copy(text)) ? ["success", words.copied] : ["error", words.notCopied]);
    }
    const filler = event.target.closest("[data-fill]");
    if (filler) { const field = $(filler.dataset.fill); field.value = filler.dataset.text; field.focus(); }
    const saver = event.target.closest("[data-save]");
    if (saver) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([$(saver.dataset.save).textContent], { type: "text/plain" }));
      link.download = saver.dataset.saveAs;
      link.click();
      URL.revokeObjectURL(link.href);
    }
    const theme = event.target.closest("[data-theme-set]");
    if (theme) {
      html.dataset.theme = theme.dataset.themeSet;
      document.cookie = `kumo_theme=${theme.dataset.themeSet}; path=/; max-age=31536000; samesite=lax`;
      closeMenus();
    }
  });
  // A row's menu hangs from the window, or the table's own scrolling would cut it off.
  document.addEventListener("toggle", (event) => {
    const menu = event.target;
    if (!menu.matches?.("td details.menu") || !menu.open) return;
    const sheet = $(".sheet", menu), from = menu.getBoundingClientRect();
    sheet.style.position = "fixed";
    sheet.style.right = `${innerWidth - from.right}px`;
    sheet.style.top = `${from.bottom + 4}px`;
    if (from.bottom + sheet.offsetHeight + 60 > innerHeight) sheet.style.top = `${Math.max(8, from.top - sheet.offsetHeight - 4)}px`;
  }, true);
  document.addEventListener("scroll", () => $$("td details.menu[open]").forEach((menu) => { menu.open = false; }), true);
  const zone = (root) => $$("time[datetime]", root).forEach((time) => { time.title = new Date(time.dateTime).toLocaleString(html.lang, { dateStyle: "medium", timeStyle: "medium" }); });
  document.addEventListener("mouseover", (event) => { if (event.target.nodeName === "TIME") zone(event.target.parentNode); });

  // --- task log: stays as it was left ----------------------------------------------------------------
  const tasks = $("#tasks");
  if (tasks) {
    tasks.open = localStorage.getItem("kumo-tasks") === "open";
    tasks.addEventListener("toggle", () => localStorage.setItem("kumo-tasks", tasks.open ? "open" : "shut"));
  }

  $(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

  // --- what came by mail stands behind the #: it is put into its field and taken out of the address ---
  const mailed = $("[data-from-address]");
  if (mailed && location.hash.length > 1) { mailed.value = location.hash.slice(1); history.replaceState(null, "", location.pathname); }

  // --- palette ----------------------------------------------------------------------------------
  const palette = $("#palette");
  function openPalette() { if (palette && !palette.open) { palette.showModal(); const box = $("input", palette); box.select(); htmx.trigger(box, "kumo:open"); } }
  function move(step) {
    const links = $$(".results a", palette);
    if (!links.length) return;
    const at = links.findIndex((link) => link.classList.contains("here"));
    const next = links[(at + step + links.length) % links.length];
    links.forEach((link) => { link.classList.toggle("here", link === next); link.setAttribute("aria-selected", link === next); });
    next.scrollIntoView({ block: "nearest" });
    $("input", palette).setAttribute("aria-activedescendant", next.id);
  }
  palette?.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown") { event.preventDefault(); move(1); }
    if (event.key === "ArrowUp") { event.preventDefault(); move(-1); }
    if (event.key === "Enter") { const link = $(".results a.here", palette) || $(".results a", palette); if (link) { event.preventDefault(); link.click(); } }
  });
  $$("[data-palette]").forEach((button) => button.addEventListener("click", openPalette));

  // --- keys: never while typing or while an input method composes -----------------------------------
  let first = "", firstAt = 0;
  const typing = (element) => element.matches?.("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable], .console *, dialog *");
  function row(step) {
    const rows = $$("#list tbody tr");
    if (!rows.length) return;
    const at = rows.findIndex((item) => item.classList.contains("here"));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
    rows.forEach((item) => item.classList.toggle("here", item === next));
    next.scrollIntoView({ block: "nearest" });
  }
  const here = () => $("#list tbody tr.here");
  const KEYS = {
    "/": () => $("#filter")?.focus(),
    "?": () => $("#keys")?.showModal(),
    j: () => row(1),
    k: () => row(-1),
    x: () => { const box = $("input[name=id]", here() || document); if (here() && box) { box.checked = !box.checked; picked(); } },
    Enter: () => { const link = here() && $("a.name", here()); if (link) link.click(); },
    c: () => $("#create")?.click(),
    t: () => { if (tasks) tasks.open = !tasks.open; },
  };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") { event.preventDefault(); openPalette(); return; }
    if (event.key === "Escape") closeMenus();
    if (event.metaKey || event.ctrlKey || event.altKey || typing(event.target)) return;
    if (first === "g" && Date.now() - firstAt < 1500) {
      first = "";
      const link = $(`[data-keys="g ${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    if (event.key === "g") { first = "g"; firstAt = Date.now(); return; }
    if (event.key === "Enter" && event.target.matches("a, button, summary")) return;
    if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
  });

  // --- htmx ---------------------------------------------------------------------------------------
  document.addEventListener("htmx:responseError", (event) => {
    const said = event.detail.xhr.getResponseHeader("X-Kumo-Toasts");
    if (said) toasts(said); else toast("error", words.lost);
  });
  document.addEventListener("htmx:afterSettle", picked);
  document.addEventListener("htmx:beforeSwap", (event) => { if (event.detail.xhr.status === 422) { event.detail.shouldSwap = true; event.detail.isError = false; } });
  window.kumo = { toast, words };
})();
