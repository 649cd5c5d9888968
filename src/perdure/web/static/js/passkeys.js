// Passkeys: a form is sent once the device has signed what stands in it. What is signed, the server says, and checks.
"use strict";

(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const letters = (data) => btoa(String.fromCharCode(...new Uint8Array(data))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  async function ask(url, form) {
    const answer = await fetch(url, { method: "POST", body: new FormData(form), credentials: "same-origin" });
    if (!answer.ok) throw new Error(await why(answer));
    return answer.json();
  }

  async function why(answer) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return page.querySelector("main p:not(.num)")?.textContent || `The server answered ${answer.status}.`;
  }

  async function confirmed(form, url) {
    const told = await ask(url, form);
    const asked = told.publicKey;
    asked.challenge = bytes(asked.challenge);
    for (const one of asked.allowCredentials) one.id = bytes(one.id);
    const made = await navigator.credentials.get({ publicKey: asked });
    form.elements.proof.value = JSON.stringify({
      passkey: {
        id: letters(made.rawId),
        authenticatorData: letters(made.response.authenticatorData),
        clientDataJSON: letters(made.response.clientDataJSON),
        signature: letters(made.response.signature),
      },
      iat: told.iat,
    });
  }

  async function registered(form, url) {
    const asked = await ask(url, form);
    asked.challenge = bytes(asked.challenge);
    asked.user.id = bytes(asked.user.id);
    for (const one of asked.excludeCredentials) one.id = bytes(one.id);
    const made = await navigator.credentials.create({ publicKey: asked });
    form.elements.passkey.value = JSON.stringify({
      id: letters(made.rawId),
      rawId: letters(made.rawId),
      type: made.type,
      response: {
        clientDataJSON: letters(made.response.clientDataJSON),
        attestationObject: letters(made.response.attestationObject),
      },
      clientExtensionResults: {},
    });
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const confirm = form.querySelector("[data-confirm]")?.dataset.confirm;
    const register = form.dataset.register;
    if ((!confirm && !register) || event.submitter?.hasAttribute("formaction")) return;
    event.preventDefault();
    const problem = document.querySelector("[data-passkey-problem]");
    const button = event.submitter;
    if (problem) problem.hidden = true;
    if (button) button.disabled = true;
    try {
      if (!window.PublicKeyCredential) throw new Error("This browser makes no passkeys at this address: it must be https, or localhost.");
      if (register) await registered(form, register); else await confirmed(form, confirm);
      form.submit(); // not `requestSubmit`: that would ask again
    } catch (error) {
      if (problem) {
        problem.textContent = error.name === "NotAllowedError" ? "The device did not confirm it: it was cancelled, or took too long. Nothing was sent." : error.message;
        problem.hidden = false;
      }
      if (button) button.disabled = false;
    }
  });
})();
