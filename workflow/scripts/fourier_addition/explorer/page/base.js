// What every view uses: the packed results, and elements of HTML and SVG.
const DATA = JSON.parse(document.getElementById("data").textContent);
const unpackedOf = new WeakMap();

// The whole numbers of a packed array, 16 bits each, little-endian.
function integers(packed) {
  if (!unpackedOf.has(packed)) {
    const text = atob(packed.integers), values = new Int16Array(text.length / 2);
    for (let i = 0; i < values.length; i++) {
      values[i] = text.charCodeAt(2 * i) | (text.charCodeAt(2 * i + 1) << 8);
    }
    unpackedOf.set(packed, values);
  }
  return unpackedOf.get(packed);
}

// The last axis of a packed array at the given places of the others.
function row(packed, ...places) {
  const length = packed.shape[packed.shape.length - 1];
  const index = places.reduce((sum, place, axis) => sum * packed.shape[axis] + place, 0);
  const values = Array.from(integers(packed).subarray(index * length, (index + 1) * length));
  return packed.steps ? values.map((value) => value * packed.steps[index]) : values;
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  for (const child of [].concat(children === undefined ? [] : children)) {
    made.append(typeof child === "object" ? child : String(child));
  }
  return made;
}
const html = (name, attributes, children) => filled(document.createElement(name), attributes, children);
// The address is the name of SVG's elements; nothing is loaded from it.
const shape = (name, attributes, children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
const byId = (id) => document.getElementById(id);

let drawn = 0;
// A drawing with its name and its description for who cannot see it.
function drawing(width, height, title, description, parts) {
  const id = "drawing-" + ++drawn;
  return shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": `${id}-t ${id}-d` }, [
    shape("title", { id: `${id}-t` }, title), shape("desc", { id: `${id}-d` }, description), ...parts,
  ]);
}

// The same values as a table, made when it is opened.
const opened = new Set();
function tableOf(name, caption, headings, rows) {
  const details = html("details", {}, html("summary", {}, "Table: " + caption));
  const fill = () => {
    if (details.children.length > 1) return;
    const cell = (kind, value, scope) => html(kind, {
      ...(scope ? { scope } : {}), ...(typeof value === "number" ? { class: "number" } : {}),
    }, typeof value === "number" ? shortly(value) : value);
    details.append(html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, html("table", {}, [
      html("caption", {}, caption),
      html("thead", {}, html("tr", {}, headings.map((each) => cell("th", each, "col")))),
      html("tbody", {}, rows().map((each) => html("tr", {}, each.map(
        (value, place) => (place ? cell("td", value) : cell("th", value, "row"))
      )))),
    ])));
  };
  details.addEventListener("toggle", () => {
    if (details.open) { opened.add(name); fill(); } else opened.delete(name);
  });
  if (opened.has(name)) { fill(); details.open = true; }
  return details;
}

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, words]) => html("option", { value }, words)));
  if (entries.some(([value]) => String(value) === String(chosen))) select.value = chosen;
}

// At most three significant digits, and whole numbers in full.
function shortly(value) {
  if (Number.isInteger(value)) return minus(String(value));
  return minus(String(Number(value.toPrecision(3))));
}
const minus = (text) => text.replace("-", "\u2212");
const signed = (value) => (value > 0 ? "+" : "") + shortly(value);
const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const peak = (values) => values.indexOf(Math.max(...values));
