// Passkeys: asks the browser for a key, hands its answer to the server. Texts come from the server and the browser.
"use strict";
(() => {
  const $ = (selector) => document.querySelector(selector);
  const token = JSON.parse(document.body.getAttribute("hx-headers"));
  const wrong = (text) => { const line = $("#passkey-wrong"); line.textContent = text; line.hidden = !text; };

  async function ask(url, body) {
    const headers = { ...token, Accept: "application/json", "Content-Type": "application/json" };
    const answer = await fetch(url, body ? { method: "POST", body: JSON.stringify(body), headers } : { headers });
    const said = await answer.json().catch(() => ({ error: answer.statusText }));
    if (!answer.ok) throw new Error(said.error);
    return said;
  }
  // Whoever closes the browser's own dialog has decided so; that is no error to shout about.
  const decline = (error) => wrong(error.name === "NotAllowedError" ? "" : error.message);

  const use = $("#passkey-use");
  if (use && window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
    use.hidden = false;
    use.addEventListener("click", async () => {
      wrong("");
      try {
        const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await ask(use.dataset.url));
        const credential = await navigator.credentials.get({ publicKey });
        location.assign((await ask(use.dataset.url, credential.toJSON())).to);
      } catch (error) { decline(error); }
    });
  }

  const add = $("#passkey-add");
  add?.addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong("");
    try {
      const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(await ask(add.dataset.url));
      const credential = await navigator.credentials.create({ publicKey });
      location.assign((await ask(add.dataset.url, { ...credential.toJSON(), name: add.elements.name.value })).to);
    } catch (error) { decline(error); }
  });
})();
