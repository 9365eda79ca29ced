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

  // A file in parts. Which upload it is is kept by the file's name, size and time, so that after a reload the same file
  // finds its parts again.
  const MIB = 2 ** 20;
  const partBytes = (file) => Math.max(Number(say.partBytes), Math.ceil(file.size / Number(say.mostParts) / MIB) * MIB);
  const mark = (job) => `kumo-upload ${say.container} ${job.file.size} ${job.file.lastModified} ${job.name}`;
  const address = (upload, part) => `${say.uploads}/${upload}${part ? `/${part}` : ""}`;

  async function begun(job) {
    const known = localStorage.getItem(mark(job));
    if (known) {
      try {
        const said = await patiently(job, () => request(job, "GET", `${address(known)}?${query(job)}`));
        return [known, said.parts];
      } catch (error) { if (error.status !== 404) throw error; }
    }
    const said = await patiently(job, () => request(job, "POST", `${say.uploads}?${query(job)}`, null, kind(job.file)));
    localStorage.setItem(mark(job), said.upload);
    return [said.upload, {}];
  }

  async function parts(job) {
    const size = partBytes(job.file), count = Math.ceil(job.file.size / size);
    const [upload, there] = await begun(job);
    let before = 0;
    for (let number = 1; number <= count; number++) {
      const part = job.file.slice((number - 1) * size, number * size);
      if (there[number] === part.size) { before += part.size; show(job, say.resumed, before); continue; }
      await patiently(job, () => request(job, "PUT", `${address(upload, number)}?${query(job)}`, part, "application/octet-stream", (sent) => show(job, say.sending, before + sent)));
      before += part.size;
    }
    show(job, say.joining);
    const whole = new FormData();
    whole.set("size", job.file.size);
    await patiently(job, () => request(job, "POST", `${address(upload)}?${query(job)}`, whole));
    localStorage.removeItem(mark(job));
  }

  async function run(job) {
    running++;
    button(job, "again", false); button(job, "replace", false);
    job.stopped = false;
    try {
      await (job.file.size > Number(say.partBytes) ? parts : whole)(job);
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
