// Makes pages a little quicker to use. Everything works without it.
"use strict";

document.addEventListener("change", (event) => {
  // A form that only asks for a preview sends itself when something in it changes.
  const form = event.target.closest("form[data-sends-itself]");
  if (form && !window.htmx) form.requestSubmit();
});

document.addEventListener("submit", (event) => {
  // A second press of a button while the first is on its way does nothing.
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
});

window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
