// The six views. Each gets what is chosen, and returns what stands below its heading.
// An entry of `chosen`: run, module, layer, example (its place in the run's examples).

const MODULE_NAMES = { attention: "attention", mlp: "MLP", both: "attention and MLP" };
const MODULE_PLACES = { attention: 0, mlp: 1, both: 2 };

const notice = (sentence) => [html("p", { class: "notice" }, sentence.replaceAll("`", ""))];
const words = (sentence) => html("p", { class: "words" }, sentence);
const missing = (chosen, part) => notice(chosen.run.missing[part]);

function exampleWords(run, example) {
  const { a, b, answer, prompt } = run.examples;
  return prompt[example] || `${a[example]}, ${b[example]}: ${answer[example]}`;
}

// A prediction over the vocabulary may be no number.
const told = (number) => (number < 0 ? "no number" : number);

// Where a part has the chosen example; -1 where it does not.
const placeIn = (part, chosen) => (part && chosen.example >= 0 ? part.at[chosen.example] : -1);
const elsewhere = (what, key) => notice(
  `The results have no ${what} of this example, only of others: the key ${key} says of which split they are.`
);

function spectrumView(chosen, width) {
  const { run, module, layer, numbers } = chosen, base = numbers - 1, found = [];
  const show = (title, spectrum, name) => {
    const [said, chart] = spectrumChart(width, title, spectrum, base);
    const magnitude = row(spectrum.magnitude), limit = row(spectrum.limit), isOut = new Set(integers(spectrum.outlier));
    found.push(html("h3", {}, title), chart, words(said), tableOf(name, title, ["Component", "Period", "Magnitude", "Shuffled numbers reach", "Stands out"],
      () => magnitude.map((value, place) => [place + 1, base / (place + 1), value, limit[place], isOut.has(place + 1) ? "yes" : "no"])));
  };
  if (run.rows) show("Number rows of the token embedding", run.rows, "rows");
  else found.push(...missing(chosen, "rows"));
  // One sentence is enough where it says both.
  if (!run.modules) return run.missing.rows === run.missing.logits ? found : found.concat(missing(chosen, "logits"));
  for (const each of module === "both" ? ["attention", "mlp"] : [module]) {
    const name = `Logits of ${MODULE_NAMES[each]}, layer ${layer}, mean over examples`;
    show(name, run.modules[each][layer], "spectrum-" + each);
  }
  found.push(legend([["limit", "what shuffled numbers reach, at the level of the null test"]]));
  return found;
}

// The logits of a module over the numbers, without their mean.
function moduleLogits(part, module, layer, place) {
  const own = (index) => row(part.module, index, layer, place);
  if (module !== "both") return own(MODULE_PLACES[module]);
  const other = own(1);
  return own(0).map((value, number) => value + other[number]);
}

function wavesView(chosen, width) {
  const { run, module, layer, example } = chosen, part = run.logits, place = placeIn(part, chosen);
  byId("count").parentElement.hidden = place < 0;
  if (!part) return missing(chosen, "logits");
  if (place < 0) return elsewhere("captured logits", "capture.split");
  const logits = moduleLogits(part, module, layer, place), index = [MODULE_PLACES[module], layer, place];
  const component = row(part.wave_component, ...index), amplitude = row(part.wave_amplitude, ...index);
  const phase = row(part.wave_phase, ...index), base = part.base_period, count = Math.min(Number(byId("count").value), component.length);
  const waves = component.slice(0, count).map((k, wave) => ({
    period: base / k,
    amplitude: amplitude[wave],
    values: logits.map((_, number) => amplitude[wave] * Math.cos((2 * Math.PI * k * number) / base - phase[wave])),
  }));
  const sum = logits.map((_, number) => waves.reduce((total, wave) => total + wave.values[number], 0));
  const answer = run.examples.answer[example];
  const said = `The sum of ${count === 1 ? "the largest wave" : `the ${count} largest waves`} is largest at ${peak(sum)}, the logits at ` +
    `${peak(logits)}; the right answer is ${answer}. Periods: ${waves.map((wave) => shortly(wave.period)).join(", ")}.`;
  const list = waves.map((wave) => ({ name: `period ${shortly(wave.period)}, amplitude ${shortly(wave.amplitude)}`, curves: [["wave", wave.values]] }));
  list.push({ name: "sum, and the logits", curves: [["logits", logits], ["sum", sum]] });
  const title = `Logits of ${MODULE_NAMES[module]}, layer ${layer}, as waves`;
  return [
    strips(width, title, said, list, logits.length, answer, 130),
    legend([["sum", "sum of the waves"], ["logits", "logits, without their mean"], ["at", "right answer"]]),
    words(said),
    tableOf("waves", title, ["Number", "Logit", "Sum of the waves", ...waves.map((wave) => "Period " + shortly(wave.period))],
      () => logits.map((value, number) => [number, value, sum[number], ...waves.map((wave) => wave.values[number])])),
  ];
}

function lensView(chosen, width) {
  const { run, layer, example } = chosen, part = run.logits, place = placeIn(part, chosen);
  if (!part) return missing(chosen, "logits");
  if (place < 0) return elsewhere("captured logits", "capture.split");
  const rows = [], marks = [];
  for (let state = 0; state <= part.layers; state++) {
    rows.push({ name: state ? `after ${state - 1}` : "embedding", values: row(part.state, state, place) });
    marks.push(row(part.lens, state)[place]);
  }
  const final = row(part.final, place);
  rows.push({ name: "final logits", values: final });
  marks.push(peak(final));
  const answer = run.examples.answer[example], first = marks.slice(0, -1).findIndex((_, state) =>
    marks.slice(state, -1).every((mark) => mark === answer));
  const said = `The model answers ${peak(final)}; the right answer is ${answer}. ` + (first < 0
    ? "The lens does not end at the right answer."
    : `The lens predicts it from ${first ? "the state after block " + (first - 1) : "the embedding"} on.`);
  const norm = part.lens_norm === "final" ? "after the final norm" : "without a norm";
  const title = "Logits of the residual stream by layer";
  return [
    heatmap(width, title, said, rows, marks, answer, layer + 1),
    legend([["ring", `prediction of the lens, ${norm} (analysis.lens_norm)`], ["at", "right answer"], ["frame", "after the chosen layer"]]),
    html("p", { class: "quiet" }, `Colours are W_U h without a norm (analysis.norm: ${part.norm}), minus the row's mean: blue above it, orange below.`),
    words(said),
    tableOf("lens", title, ["Number", ...rows.map((each) => each.name)], () => final.map((_, number) => [number, ...rows.map((each) => each.values[number])])),
  ];
}

function filtersView(chosen, width) {
  const { run, module, layer, example } = chosen, part = run.filters, place = placeIn(part, chosen), select = byId("kind");
  select.parentElement.hidden = !part;
  if (!part) return missing(chosen, "filters");
  options(select, Object.entries(part.kinds), select.value);
  if (place < 0) return elsewhere("filtered answers", "ablations.split");
  const kind = select.value, answer = run.examples.answer[example], entries = [];
  part.conditions.forEach((condition, index) => {
    if (condition.kind !== kind) return;
    if (kind === "layer" && Number(condition.layers) !== layer) return;
    if (!["table", "layer", "keep"].includes(kind) && condition.module !== module) return;
    entries.push({ ...condition, number: row(part.prediction, index)[place], same: row(part.same, index)[place] });
  });
  const title = part.kinds[kind], numbers = chosen.numbers;
  // The layer is said once, above the drawing.
  const list = entries.map((entry) => ({ name: entry.words.replace(/ at layer .*/, ""), number: entry.number, strong: entry.module === module }));
  const right = entries.filter((entry) => entry.number === answer).length;
  const said = `${right} of ${entries.length} answers are right (${answer}). ` +
    entries.filter((entry) => entry.number !== answer).map((entry) => `${entry.words[0].toUpperCase() + entry.words.slice(1)}: ${told(entry.number)}.`).join(" ");
  const about = { layer: `At layer ${layer}.`, period: `Removed from ${MODULE_NAMES[module]}.`, tau: `Removed from ${MODULE_NAMES[module]}.` }[kind];
  if (!entries.length) return notice("No filter of this kind was run for this module and layer; choose another module or layer.");
  return [
    ...(about ? [html("p", { class: "quiet" }, about)] : []),
    dots(width, title, said, list, numbers, answer),
    legend([["dot right", "right answer"], ["dot wrong", "other answer"], ["at", "where the right answer lies"]]),
    words(said),
    tableOf("filters", title, ["Filter", "Answer", "Off by", "Random subspaces of equal rank that leave the unfiltered answer"],
      () => entries.map((entry) => [entry.words, told(entry.number), entry.number < 0 ? "" : entry.number - answer, entry.draws ? `${entry.same} of ${entry.draws}` : "not drawn"])),
  ];
}

function steeringView(chosen, width) {
  const { run, example } = chosen, part = run.steering, place = placeIn(part, chosen);
  const [select, slider, output, answerLineOf] = ["place", "turn", "turn-value", "answer"].map(byId);
  select.parentElement.hidden = !part || place < 0;
  answerLineOf.textContent = "";
  if (!part) return missing(chosen, "steering");
  if (place < 0) return elsewhere("answers under turned phases", "interventions.split");

  // The slider's steps are the turns that were made, and 0.
  const steps = [...new Set([...part.deltas, 0])].sort((a, b) => a - b), zero = steps.indexOf(0);
  if (slider.dataset.steps !== String(steps)) {
    Object.assign(slider, { min: 0, max: steps.length - 1, step: 1 });
    slider.value = zero;
    slider.dataset.steps = String(steps);
  }
  const best = Math.max(0, part.places.findIndex((each) => each.best));
  if (select.dataset.run !== run.name) {
    options(select, part.places.map((each, index) => [index, each.words + (each.best ? " (steered best)" : "")]), best);
    select.dataset.run = run.name;
  }
  const where = Number(select.value), delta = steps[Number(slider.value)], turn = part.deltas.indexOf(delta);
  const own = row(part.own)[place], modulus = part.modulus, wrap = (value) => ((value % modulus) + modulus) % modulus;
  const under = (arm, draw, at) => (at < 0 ? own : row(part.arms[arm], draw, where, at)[place]);
  const now = under("turn", 0, turn), moved = now - own, residue = modulus === 10 ? "last digit" : `residue modulo ${modulus}`;
  const holds = wrap(moved - delta) === 0;
  output.textContent = signed(delta);
  slider.setAttribute("aria-valuetext", `turn by ${delta}, the model answers ${now}`);
  answerLineOf.textContent = delta === 0
    ? `Without a turn the model answers ${own}.`
    : `Turned by ${signed(delta)}, the model answers ${now} instead of ${own}: the ${residue} moved by ${signed(wrap(moved) > modulus / 2 ? wrap(moved) - modulus : wrap(moved))}, ` +
      `${holds ? "just as the phases were turned" : "not as the phases were turned"}.`;

  // Every turn at a glance, with the controls
  const arms = [["turn", "turned phases"], ["unused", "periods that base ten does not use"], ["subspace", "random planes"]].filter(([arm]) => part.arms[arm]);
  const list = arms.map(([arm, name]) => ({ name: `${name}, turned by ${signed(delta)}`, number: under(arm, 0, turn), strong: arm === "turn", kind: arm === "turn" ? "dot" : "dot own" }));
  const line = html("div", { class: "line" }, dots(Math.max(300, width - (width > 620 ? 200 : 0)), "Answers under the turn, beside controls",
    list.map((entry) => `${entry.name}: ${entry.number}.`).join(" "), list, chosen.numbers, own));
  const clock = html("div", { class: "dial" }, dial(`The answer's ${residue}`, `It was ${wrap(own)} and is ${wrap(now)}.`, modulus, wrap(now), wrap(own)));
  const share = (arm, at) => (at < 0 ? "" : `${Math.round(100 * part.moved[arm][where][at])} %`);
  const said = turn < 0 ? "" : `Of all ${part.examples} examples, the ${residue} moves by just ${signed(delta)} in ${share("turn", turn)}` +
    arms.slice(1).map(([arm, name]) => `; with ${name} in ${share(arm, turn)}`).join("") + ".";
  const title = `Answers under every turn, ${part.places[where].words}`;
  return [
    html("div", { class: "pair" }, [line, clock]),
    legend([["hand", "residue of the answer now"], ["hand own", "residue without a turn"], ["at", "answer without a turn"]]),
    words(said),
    tableOf("steering", title, ["Turn", "Answer", "Moved by", ...arms.slice(1).map(([, name]) => "Control: " + name), "Residue moved by the turn, all examples"],
      () => part.deltas.map((each, at) => [signed(each), under("turn", 0, at), signed(under("turn", 0, at) - own),
        ...arms.slice(1).map(([arm]) => Array.from({ length: part.arms[arm].shape[0] }, (_, draw) => under(arm, draw, at)).join(", ")), share("turn", at)])),
  ];
}

function circlesView(chosen, width) {
  const { run } = chosen, part = run.circles, select = byId("probe");
  select.parentElement.hidden = !part;
  if (!part) return missing(chosen, "circles");
  const name = (probe) => `${probe.target} at ${/^[ab]$/.test(probe.position) ? "operand " : ""}${probe.position}`;
  if (select.dataset.run !== run.name) {
    const last = part.findLastIndex((probe) => probe.target === "sum" && probe.position.startsWith("answer"));
    options(select, part.map((probe, index) => [index, name(probe)]), Math.max(0, last));
    select.dataset.run = run.name;
  }
  const probe = part[Number(select.value)], states = probe.layers.map((state) => (state ? String(state - 1) : "emb."));
  const r2 = probe.layers.map((_, state) => row(probe.r2, state)), beyond = probe.layers.map((_, state) => row(probe.beyond, state));
  const rows = probe.periods.map((period, column) => ({
    name: "T = " + shortly(period), values: r2.map((each) => each[column]), framed: beyond.map((each) => each[column] === 1),
  }));
  const last = rows.filter((each) => each.framed[each.framed.length - 1]).map((each) => each.name.slice(4));
  const said = `After the last block, the circles of ${last.length ? "periods " + last.join(", ") : "no period"} of the ${name(probe)} are beyond what shuffled numbers reach (${probe.examples} examples).`;
  const title = `R² of Fourier probes of the ${name(probe)}`;
  return [
    cells(width, title, said, states, rows, "embedding, then after block"),
    words(said),
    tableOf("circles", title, ["Period", ...probe.layers.map((state) => (state ? `after block ${state - 1}` : "embedding"))],
      () => probe.periods.map((period, column) => [period, ...r2.map((each) => each[column])])),
  ];
}

const VIEWS = { spectrum: spectrumView, waves: wavesView, lens: lensView, filters: filtersView, steering: steeringView, circles: circlesView };
