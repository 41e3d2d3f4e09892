// Drawings from plain values; they know nothing of runs.
const EDGE = 34;

function scale(from, to, low, high) {
  return (value) => low + ((value - from) / (to - from || 1)) * (high - low);
}

// Whole numbers in round steps, so many that their words do not meet.
function ticks(from, to, room) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((each) => (to - from) / each <= room / 45) || 2000;
  const found = [];
  for (let value = Math.ceil(from / step) * step; value <= to; value += step) found.push(value);
  return found;
}

function axisBelow(x, y, from, to, name) {
  const [left, right] = [x(from), x(to)];
  return [
    shape("path", { class: "axis", d: `M${left} ${y}H${right}` }),
    ...ticks(from, to, right - left).flatMap((value) => [
      shape("path", { class: "axis", d: `M${x(value)} ${y}v4` }),
      shape("text", { x: x(value), y: y + 16, "text-anchor": "middle" }, shortly(value)),
    ]),
    shape("text", { x: right, y: y + 31, "text-anchor": "end" }, name),
  ];
}

function line(kind, values, x, y) {
  const points = values.map((value, place) => `${x(place).toFixed(1)} ${y(value).toFixed(1)}`);
  return shape("path", { class: kind, d: "M" + points.join("L") });
}

const answerLine = (x, top, bottom, answer) => shape("path", { class: "at", d: `M${x(answer)} ${top}V${bottom}` });

function legend(entries) {
  return html("ul", { class: "legend", "aria-hidden": "true" }, entries.map(([kind, words]) => html("li", {}, [
    shape("svg", { viewBox: "0 0 26 10" }, kind === "ring" || kind.startsWith("dot")
      ? shape("circle", { class: kind, cx: 13, cy: 5, r: 4 }) : shape("path", { class: kind, d: "M0 5H26" })),
    words,
  ])));
}

// Magnitudes by component, with what shuffled numbers reach.
function spectrumChart(width, title, spectrum, basePeriod) {
  const magnitude = row(spectrum.magnitude), limit = row(spectrum.limit), outliers = integers(spectrum.outlier);
  const height = 210, bottom = height - 36, count = magnitude.length;
  const x = scale(0.5, count + 0.5, EDGE, width - 14), top = Math.max(largest(magnitude), largest(limit));
  const y = scale(0, top, bottom, 26), bar = Math.max(1.5, Math.min(12, (0.7 * (width - EDGE)) / count));
  const isOut = new Set(outliers);
  const bars = magnitude.map((value, place) => shape("rect", {
    class: isOut.has(place + 1) ? "bar out" : "bar", x: x(place + 1) - bar / 2, y: y(value), width: bar, height: bottom - y(value),
  }));
  // Names of outliers, the largest first, where they do not meet others
  const named = [];
  for (const component of [...isOut].sort((a, b) => magnitude[b - 1] - magnitude[a - 1])) {
    if (named.every((other) => Math.abs(x(other) - x(component)) > 30)) named.push(component);
  }
  const period = (component) => shortly(basePeriod / component);
  const names = named.map((component) => shape("text", {
    class: "strong", x: x(component), y: y(magnitude[component - 1]) - 4, "text-anchor": "middle",
  }, period(component)));
  const said = isOut.size
    ? `Components that stand out have the periods ${[...isOut].map(period).join(", ")}.` : "No component stands out.";
  return [said, drawing(width, height, title, said, [
    ...bars, line("limit", limit, (place) => x(place + 1), y), ...names, ...axisBelow(x, bottom, 1, count, "component"),
  ])];
}

// Several curves over the numbers, one strip each: [{name, curves: [[class, values]]}].
function strips(width, title, description, list, numbers, answer, tall) {
  const each = 46, last = tall, height = each * (list.length - 1) + last + 40;
  const x = scale(0, numbers - 1, EDGE, width - 14), parts = [];
  let top = 0;
  list.forEach((strip, place) => {
    const room = place === list.length - 1 ? last : each, most = largest(strip.curves.flatMap(([, values]) => values));
    const y = scale(-most, most, top + room - 4, top + 16);
    parts.push(shape("path", { class: "axis", d: `M${EDGE} ${y(0)}H${width - 14}` }));
    for (const [kind, values] of strip.curves) parts.push(line(kind, values, x, y));
    parts.push(shape("text", { class: "over", x: EDGE + 4, y: top + 12 }, strip.name));
    top += room;
  });
  parts.push(answerLine(x, 0, top, answer));
  return drawing(width, height, title, description, [...parts, ...axisBelow(x, top + 2, 0, numbers - 1, "number")]);
}

// Values by row and number, each row in its own scale; marks: a number for each row.
function heatmap(width, title, description, rows, marks, answer, chosen) {
  const room = Math.max(16, Math.min(28, 420 / rows.length)), left = 88, numbers = rows[0].values.length;
  const x = scale(-0.5, numbers - 0.5, left, width - 14), wide = x(1) - x(0), parts = [];
  const bottom = 4 + room * rows.length, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  rows.forEach((each, place) => {
    const most = largest(each.values), y = bottom - room * (place + 1);
    each.values.forEach((value, number) => {
      const share = most ? value / most : 0, strength = Math.abs(share) ** 0.8;
      if (strength < 0.02) return;
      parts.push(shape("rect", {
        x: x(number - 0.5).toFixed(1), y: y + 0.5, width: (wide + 0.3).toFixed(1), height: room - 1,
        style: `fill: rgba(var(--${share > 0 ? "plus" : "minus"}), ${(strength * (dark ? 0.9 : 0.95)).toFixed(2)})`,
      }));
    });
    parts.push(shape("text", {
      x: left - 6, y: y + room / 2 + 4, "text-anchor": "end", ...(place === chosen ? { class: "strong" } : {}),
    }, each.name));
    if (place === chosen) parts.push(shape("rect", { class: "frame", x: left, y, width: width - 14 - left, height: room }));
    if (marks[place] >= 0) parts.push(shape("circle", { class: "ring", cx: x(marks[place]), cy: y + room / 2, r: Math.min(6, room / 2 - 2) }));
  });
  parts.push(answerLine(x, 0, bottom + 2, answer));
  return drawing(width, bottom + 38, title, description, [...parts, ...axisBelow(x, bottom + 2, 0, numbers - 1, "number")]);
}

// One dot on the number axis for each entry: [{name, number, strong, kind}]; without a kind it is right or wrong.
function dots(width, title, description, list, numbers, answer) {
  const narrow = width < 640, room = narrow ? 38 : 24;
  const left = narrow ? 8 : 24 + 7.6 * Math.max(...list.map((entry) => entry.name.length));
  const x = scale(0, numbers - 1, left + 6, width - 30), bottom = room * list.length + 4, parts = [];
  parts.push(answerLine(x, 0, bottom, answer));
  list.forEach((entry, place) => {
    const middle = room * place + (narrow ? 28 : 14);
    const label = narrow ? { x: left, y: middle - 14 } : { x: left - 12, y: middle + 4, "text-anchor": "end" };
    parts.push(shape("path", { class: "axis", d: `M${x(0)} ${middle}H${x(numbers - 1)}` }));
    parts.push(shape("text", { ...label, ...(entry.strong ? { class: "strong" } : {}) }, entry.name));
    if (entry.number >= 0) {
      const kind = entry.kind || (entry.number === answer ? "dot right" : "dot wrong");
      parts.push(shape("circle", { class: kind, cx: x(entry.number), cy: middle, r: 6 }));
      parts.push(shape("text", { class: "strong", x: x(entry.number) + 9, y: middle + 4 }, entry.number));
    }
  });
  return drawing(width, bottom + 38, title, description, [...parts, ...axisBelow(x, bottom + 2, 0, numbers - 1, "number")]);
}

// A clock of residues with a hand for the answer, and one for the answer as it was.
function dial(title, description, modulus, now, before) {
  const [size, radius] = [170, 62], middle = size / 2, parts = [];
  const place = (residue, length) => {
    const angle = (2 * Math.PI * residue) / modulus - Math.PI / 2;
    return [middle + length * Math.cos(angle), middle + length * Math.sin(angle)];
  };
  const hand = (kind, residue, length) => {
    const [x, y] = place(residue, length);
    return shape("path", { class: kind, d: `M${middle} ${middle}L${x} ${y}` });
  };
  parts.push(shape("circle", { class: "axis", cx: middle, cy: middle, r: radius }));
  for (let residue = 0; residue < modulus && modulus <= 24; residue++) {
    const [x, y] = place(residue, radius + 13);
    parts.push(shape("text", { x, y: y + 4, "text-anchor": "middle", ...(residue === now ? { class: "strong" } : {}) }, residue));
  }
  return drawing(size, size, title, description, [...parts, hand("hand own", before, radius - 4), hand("hand", now, radius - 8)]);
}

// Shares in cells: rows of {name, values, framed}.
function cells(width, title, description, columns, rows, name) {
  const left = 62, room = 26, wide = Math.min(90, (width - left - 8) / columns.length), parts = [];
  rows.forEach((each, place) => {
    const y = 4 + room * place;
    parts.push(shape("text", { x: left - 8, y: y + 17, "text-anchor": "end" }, each.name));
    each.values.forEach((value, column) => {
      // Pale enough that every number can be read on its cell, in light and dark.
      const x = left + wide * column, share = Math.max(0, Math.min(1, value));
      parts.push(shape("rect", { x: x + 1, y: y + 1, width: wide - 2, height: room - 2, style: `fill: rgba(var(--plus), ${(0.06 + 0.44 * share).toFixed(2)})` }));
      if (each.framed[column]) parts.push(shape("rect", { class: "frame", x: x + 1.5, y: y + 1.5, width: wide - 3, height: room - 3 }));
      if (wide >= 30) parts.push(shape("text", {
        x: x + wide / 2, y: y + 17, "text-anchor": "middle", class: share > 0.5 ? "cell strong" : "cell",
      }, minus(value.toFixed(2))));
    });
  });
  const bottom = 4 + room * rows.length, every = Math.ceil(30 / wide);
  columns.forEach((column, place) => {
    if (place % every === 0) parts.push(shape("text", { x: left + wide * (place + 0.5), y: bottom + 16, "text-anchor": "middle" }, column));
  });
  parts.push(shape("text", { x: left, y: bottom + 33 }, name));
  return drawing(width, bottom + 38, title, description, parts);
}
