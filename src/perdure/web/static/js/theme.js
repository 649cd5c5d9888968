// Before anything is drawn: light or dark as was chosen here, else as the system says.
(() => {
  try {
    const chosen = localStorage.getItem("perdure.theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
    if (localStorage.getItem("perdure.utc") === "yes") document.documentElement.dataset.utc = "yes";
  } catch { /* storage is forbidden: as the system says */ }
})();
