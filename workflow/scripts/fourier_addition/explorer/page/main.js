// What is chosen, and when it is drawn anew.
const [runSelect, moduleSelect, layerSelect, exampleSelect] = ["run", "module", "layer", "example"].map(byId);

function chosenNow() {
  const run = DATA.runs[Number(runSelect.value)], answers = run.examples.answer;
  return {
    run, module: moduleSelect.value, layer: Number(layerSelect.value || 0),
    example: answers.length ? Number(exampleSelect.value) : -1,
    numbers: run.numbers,
  };
}

// Layers and examples of the run; the ones that were chosen stay, where the run has them.
function offer() {
  const run = DATA.runs[Number(runSelect.value)], part = run.logits, steered = run.filters || run.steering;
  const singles = run.filters ? run.filters.conditions.filter((each) => each.kind === "layer").map((each) => Number(each.layers)) : [];
  const layers = part ? part.layers : singles.length ? Math.max(...singles) + 1 : 0;
  const before = layerSelect.options.length ? layerSelect.value : layers - 1;
  options(layerSelect, Array.from({ length: layers }, (_, layer) => [layer, String(layer)]), before);
  if (Number(before) >= layers && layers) layerSelect.value = layers - 1;
  layerSelect.disabled = !layers;
  moduleSelect.disabled = !part && !steered;
  const { answer } = run.examples, old = exampleSelect.selectedOptions[0], wanted = old ? old.textContent : "";
  const entries = answer.map((_, example) => [example, exampleWords(run, example)]);
  // The first choice is in the middle of those that most views have.
  const parts = [run.logits, run.filters, run.steering].filter(Boolean);
  const known = answer.map((_, example) => parts.filter((each) => each.at[example] >= 0).length);
  const best = known.flatMap((count, example) => (count === Math.max(...known) ? [example] : []));
  options(exampleSelect, entries, best[best.length >> 1]);
  const same = entries.find(([, each]) => each === wanted);
  if (same) exampleSelect.value = same[0];
  exampleSelect.disabled = !answer.length;
}

function draw(name, chosen) {
  const section = byId(name), content = section.querySelector(".content");
  const width = Math.max(280, content.clientWidth);
  const note = chosen.run.note ? [html("p", { class: "note" }, chosen.run.note)] : [];
  content.replaceChildren(...VIEWS[name](chosen, width), ...note);
}

function drawAll() {
  const chosen = chosenNow();
  for (const name of Object.keys(VIEWS)) draw(name, chosen);
  return chosen;
}

// What changed, in words
function say(chosen) {
  const { run, module, layer, example } = chosen, place = placeIn(run.logits, chosen), parts = [run.label];
  if (example >= 0) {
    const answer = run.examples.answer[example];
    if (place >= 0) {
      const own = peak(row(run.logits.final, place));
      parts.push(`the model answers ${own}, which is ${own === answer ? "right" : `wrong: right is ${answer}`}`);
      parts.push(`the logits of ${MODULE_NAMES[module]} at layer ${layer} are largest at ${peak(moduleLogits(run.logits, module, layer, place))}`);
    } else parts.push(`the right answer is ${answer}`);
  }
  byId("said").textContent = parts.join("; ") + ".";
}

// The address may name a view and a run, as in #steering/mini.finetuned.seed0.
function follow() {
  const [view, name] = decodeURIComponent(location.hash.slice(1)).split("/");
  const run = DATA.runs.findIndex((each) => each.name === name);
  if (run >= 0) { runSelect.value = run; offer(); say(drawAll()); }
  if (VIEWS[view]) byId(view).scrollIntoView();
}

function start() {
  if (!DATA.runs.length) {
    byId("choices").hidden = true;
    byId("views").replaceChildren(html("p", { class: "notice" }, "The results have no run that the explorer can show."));
    return;
  }
  options(runSelect, DATA.runs.map((run, index) => [index, `${run.label} (${run.name})`]), 0);
  offer();
  say(drawAll());
  follow();
  addEventListener("hashchange", follow);
  runSelect.addEventListener("change", () => { offer(); say(drawAll()); });
  for (const select of [moduleSelect, layerSelect, exampleSelect]) select.addEventListener("change", () => say(drawAll()));
  byId("count").addEventListener("input", () => {
    byId("count-value").textContent = byId("count").value;
    draw("waves", chosenNow());
  });
  for (const [control, view] of [["kind", "filters"], ["place", "steering"], ["turn", "steering"], ["probe", "circles"]]) {
    byId(control).addEventListener(control === "turn" ? "input" : "change", () => draw(view, chosenNow()));
  }
  byId("choices").addEventListener("submit", (event) => event.preventDefault());
  let width = document.body.clientWidth;
  addEventListener("resize", () => {
    if (document.body.clientWidth !== width) { width = document.body.clientWidth; drawAll(); }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
}

start();
