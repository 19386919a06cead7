/* Observations: what an earlier one showed too is dimmed, or folded if it is long, so that what changed stands out. */

const REMEMBERED = 12;
const FOLDED_LINES = 4;
const LONG_LINE = 160;
const MOST_COMPARED = 200000;

/* The lines of a text, or its words if it has few lines. */
function unitsOf(text) {
  const lines = text.split('\n');
  if (lines.filter((line) => line.trim()).length >= 4) return { lines: true, units: lines };
  return { lines: false, units: text.length >= LONG_LINE ? text.match(/\s+|[^\s]+/gu) || [] : [] };
}

/* Shows the observations of one conversation in their order; each is compared with the earlier one that it repeats most of. */
function makeMemory() {
  const earlier = [];
  return (text, where) => {
    const own = text.length > MOST_COMPARED ? { lines: false, units: [] } : unitsOf(text);
    const known = new Set(own.units.map((unit) => unit.trim()).filter(Boolean));
    let best = null;
    let shared = 0;
    for (const other of [...earlier].reverse()) {
      if (other.lines !== own.lines) continue;
      let same = 0;
      for (const unit of known) if (other.known.has(unit)) same += 1;
      if (same > shared) [best, shared] = [other, same];
    }
    earlier.push({ ...own, known, text, where });
    if (earlier.length > REMEMBERED) earlier.shift();
    if (!own.units.length || !best || shared < known.size * 0.25) return fields(text) || written('div', '', text);
    return element('div', { class: 'text', dir: 'auto' }, own.lines ? freshLines(own.units, best) : freshWords(text, best));
  };
}

function freshLines(lines, { known, where }) {
  const repeated = lines.map((line) => known.has(line.trim()));
  const parts = [];
  for (let i = 0; i < lines.length;) {
    let stop = i + 1;
    while (stop < lines.length && (repeated[stop] === repeated[i] || !lines[stop].trim())) stop += 1;
    const ending = stop < lines.length ? '\n' : '';
    if (repeated[i] && stop - i > FOLDED_LINES) parts.push(foldedLines(lines.slice(i, stop), where), ending);
    else parts.push(repeated[i] ? element('span', { class: 'again' }, lines.slice(i, stop).join('\n') + ending) : lines.slice(i, stop).join('\n') + ending);
    i = stop;
  }
  return parts;
}

function foldedLines(lines, where) {
  const button = element('button', { class: 'folded', type: 'button' }, `${plural(lines.length, 'line')} as ${where}`);
  button.addEventListener('click', () => button.replaceWith(element('span', { class: 'again' }, lines.join('\n'))));
  return button;
}

/* Runs of at least four words that were there before. */
function freshWords(text, { text: before }) {
  return differingWords(before, text)[1].map((part) => {
    const again = typeof part === 'string' && part.trim().split(/\s+/u).length >= 4;
    return again ? element('span', { class: 'again' }, part) : typeof part === 'string' ? part : part.textContent;
  });
}

/* A result that is a JSON object, as its fields; `null` for anything else. */
function fields(text) {
  if (!text.startsWith('{') || text.length > MOST_COMPARED) return null;
  const found = Object.entries(readJson(text) || {});
  if (!found.length || !found.some(([, field]) => typeof field === 'string' && field.includes('\n'))) return null;
  return element('div', { class: 'call' }, found.map(([name, field]) => element('div', { class: 'argument' }, element('span', { class: 'key' }, name),
    element('div', {}, element('code', { class: 'text', dir: 'auto' }, valueText(field))))));
}
