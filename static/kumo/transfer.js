// Sends files and folders into a container: several at once, each with its progress; large ones in parts, of which
// those that have arrived are not sent again. Words come from the page.
"use strict";
(() => {
  const box = document.getElementById("transfers");
  const list = document.getElementById("transfers-list");
  const say = box.dataset;
  const AT_ONCE = 3, TRIES = 5;
  const waiting = [];
  let running = 0, done = 0, failed = 0, all = 0, refresh = 0;

  // --- one request, with progress -------------------------------------------------------------------
  class Refused extends Error { constructor(status, text) { super(text); this.status = status; } }

  function request(job, method, url, body, type, progress) {
    return new Promise((good, bad) => {
      const call = new XMLHttpRequest();
      job.call = call;
      call.open(method, url);
      call.setRequestHeader("X-CSRFToken", say.csrf);
      if (type) call.setRequestHeader("Content-Type", type);
      if (progress) call.upload.addEventListener("progress", (event) => progress(event.loaded));
      call.addEventListener("load", () => {
        let said = {};
        try { said = JSON.parse(call.responseText || "{}"); } catch { /* not of ours: the status says enough */ }
        call.status < 300 ? good(said) : bad(new Refused(call.status, said.error || window.kumo.words.lost));
      });
      call.addEventListener("error", () => bad(new Refused(0, window.kumo.words.lost)));
      call.addEventListener("abort", () => bad(new Refused(-1, say.stopped)));
      call.send(body);
    });
  }

  // What broke on the way or found the server busy is sent again, a little later each time.
  async function patiently(job, send) {
    for (let turn = 1; ; turn++) {
      try { return await send(); } catch (error) {
        if (![0, 502, 503, 504].includes(error.status) || turn === TRIES || job.stopped) throw error;
        show(job, say.again);
        await new Promise((wake) => setTimeout(wake, 500 * 2 ** turn));
        if (job.stopped) throw new Refused(-1, say.stopped);
      }
    }
  }

  // --- a file ---------------------------------------------------------------------------------------
  const query = (job, more) => new URLSearchParams({ name: job.name, ...more, ...(job.replace ? { replace: "1" } : {}) });
  const kind = (file) => file.type || "application/octet-stream";

  function whole(job) {
    return patiently(job, () => request(job, "PUT", `${say.file}?${query(job)}`, job.file, kind(job.file), (sent) => show(job, say.sending, sent)));
  }

  async function run(job) {
    running++;
    button(job, "again", false); button(job, "replace", false);
    job.stopped = false;
    try {
      await whole(job);
      done++;
      job.over = true;
      show(job, say.done, job.file.size);
      button(job, "cancel", false);
      later();
    } catch (error) {
      failed++;
      const there = error.status === 412;
      show(job, there ? say.there : error.message, undefined, !there);
      button(job, there ? "replace" : "again", true);
    }
    running--;
    next();
  }

  function next() {
    while (running < AT_ONCE && waiting.length) run(waiting.shift());
    document.getElementById("transfers-sum").textContent = `${done} / ${all}${failed ? ` · ${failed} ✗` : ""}`;
  }

  // --- the list --------------------------------------------------------------------------------------
  function button(job, name, is) { job.item.querySelector(`[data-do=${name}]`).hidden = !is; }

  function show(job, word, sent, bad) {
    const text = job.item.querySelector(".word"), bar = job.item.querySelector("progress");
    if (sent !== undefined) bar.value = job.file.size ? Math.floor(sent / job.file.size * 100) : 100;
    text.textContent = sent !== undefined && !job.over ? `${word} ${bar.value} %` : word;
    text.classList.toggle("wrong", Boolean(bad));
  }

  function add(file, path) {
    const item = document.getElementById("transfer").content.firstElementChild.cloneNode(true);
    const job = { file, name: say.folder + path, item, stopped: false, over: false, replace: false };
    item.querySelector(".what").textContent = path;
    item.querySelector("progress").setAttribute("aria-label", path);
    item.addEventListener("click", (event) => {
      const wish = event.target.closest("[data-do]")?.dataset.do;
      if (wish === "cancel") cancel(job);
      if (wish === "replace" || wish === "again") { job.replace ||= wish === "replace"; failed--; queue(job); }
    });
    list.append(item);
    box.hidden = false;
    all++;
    queue(job);
  }

  function queue(job) { show(job, say.waiting); waiting.push(job); next(); }

  function cancel(job) {
    job.stopped = true;
    const at = waiting.indexOf(job);
    if (at >= 0) { waiting.splice(at, 1); failed++; show(job, say.stopped, undefined, true); button(job, "again", true); next(); return; }
    job.call?.abort();
  }

  // The list below follows, but not once for each of a thousand files.
  function later() {
    if (!refresh) refresh = setTimeout(() => { refresh = 0; htmx.trigger("#list", "kumo:live"); }, waiting.length || running > 1 ? 1500 : 50);
  }

  document.getElementById("transfers-clear").addEventListener("click", () => {
    for (const item of [...list.children]) if (item.querySelector("[data-do=cancel]").hidden) { item.remove(); all--; done--; }
    box.hidden = !list.childElementCount;
    next();
  });
  addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });

  // --- where files come from ---------------------------------------------------------------------------
  for (const id of ["choose-files", "choose-folder"]) {
    const field = document.getElementById(id);
    field.addEventListener("change", () => {
      for (const file of field.files) add(file, file.webkitRelativePath || file.name);
      field.value = "";
    });
  }

  async function walk(entry, path) {
    if (entry.isFile) { add(await new Promise((good, bad) => entry.file(good, bad)), path + entry.name); return; }
    const reader = entry.createReader();
    for (let some; (some = await new Promise((good, bad) => reader.readEntries(good, bad))).length;)
      for (const inner of some) await walk(inner, `${path}${entry.name}/`);
  }

  const sheet = document.getElementById("drop-here");
  const holdsFiles = (event) => [...event.dataTransfer?.types || []].includes("Files");
  addEventListener("dragenter", (event) => { if (holdsFiles(event)) { event.preventDefault(); sheet.hidden = false; } });
  addEventListener("dragover", (event) => { if (holdsFiles(event)) event.preventDefault(); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) sheet.hidden = true; });
  addEventListener("drop", async (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    sheet.hidden = true;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (entries.length) { for (const entry of entries) await walk(entry, ""); return; }
    for (const file of event.dataTransfer.files) add(file, file.name);
  });
})();
