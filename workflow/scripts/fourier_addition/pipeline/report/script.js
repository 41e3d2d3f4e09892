// Light, dark, or what the system asks for.
const root = document.documentElement;
const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
// The buttons above the claims show the rows of one verdict, or all.
const buttons = [...document.querySelectorAll("button[data-verdict]")];
const rows = [...document.querySelectorAll("tr[data-verdict]")];
for (const button of buttons) {
  button.addEventListener("click", () => {
    const chosen = button.getAttribute("aria-pressed") === "true" ? "" : button.dataset.verdict;
    for (const other of buttons) {
      other.setAttribute("aria-pressed", String(other.dataset.verdict === chosen));
    }
    for (const row of rows) {
      row.hidden = chosen !== "" && row.dataset.verdict !== chosen;
    }
  });
}
