// Sends an image's file after its record was made, and shows how far it is.
"use strict";
(() => {
  const form = document.getElementById("upload");
  const $ = (id) => document.getElementById(id);
  const EXTENSIONS = { qcow2: "qcow2", img: "raw", raw: "raw", iso: "iso", vmdk: "vmdk", vdi: "vdi", vhd: "vhd", vhdx: "vhdx" };
  function wrong(text) { $("upload-error").hidden = !text; $("upload-error").lastElementChild.textContent = text || ""; }
  $("file").addEventListener("change", () => {
    const file = $("file").files[0];
    if (!file) return;
    const dot = file.name.lastIndexOf(".");
    if (!form.elements.name.value) form.elements.name.value = dot > 0 ? file.name.slice(0, dot) : file.name;
    const format = EXTENSIONS[file.name.slice(dot + 1).toLowerCase()];
    if (format) form.elements.disk_format.value = format;
  });
  function put(url, file, csrf) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      const words = $("upload-words");
      request.open("PUT", url);
      request.setRequestHeader("X-CSRFToken", csrf);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.addEventListener("progress", (event) => {
        const percent = Math.floor(event.loaded / event.total * 100);
        $("upload-percent").textContent = `${percent} %`;
        document.querySelector("#upload-progress progress").value = percent;
        words.textContent = percent === 100 ? words.dataset.checking : words.dataset.sending;
      });
      request.addEventListener("load", () => {
        const said = JSON.parse(request.responseText || "{}");
        request.status < 300 ? done(said) : fail(new Error(said.error || window.kumo.words.lost));
      });
      request.addEventListener("error", () => fail(new Error(window.kumo.words.lost)));
      request.send(file);
    });
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong("");
    const file = $("file").files[0];
    if (!file) { $("file").focus(); $("file").reportValidity(); return; }
    const button = form.querySelector("button.primary");
    button.disabled = true;
    try {
      const csrf = form.elements.csrfmiddlewaretoken.value;
      const answer = await fetch(location.pathname, { method: "POST", body: new FormData(form) });
      const said = await answer.json();
      if (!answer.ok) throw new Error(Object.values(said.errors || {}).flat().join(" "));
      $("upload-progress").hidden = false;
      await put(said.file, file, csrf);
      location.assign(said.page);
    } catch (error) { wrong(error.message); $("upload-progress").hidden = true; button.disabled = false; }
  });
})();
