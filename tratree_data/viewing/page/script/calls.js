/* Tool calls in a text: `name {"argument": …}` lines at its end become a name and its arguments, as code. */

const CALL_LINE = /^[\w.:\/-]{1,200}(?: (\{.*\}))?$/u;

function readCall(line) {
  const found = line.length < 1e6 && line.match(CALL_LINE);
  if (!found) return null;
  const values = found[1] ? readJson(found[1]) : {};
  return values && { name: line.split(' ', 1)[0], values, certain: Boolean(found[1]) };
}

/* What is said, and the calls after it; a line without arguments is a call only beside one that has some. */
function splitCalls(text) {
  const lines = text.split('\n');
  let start = lines.length;
  while (start > 0 && readCall(lines[start - 1])) start -= 1;
  const calls = lines.slice(start).map(readCall);
  return calls.some((call) => call.certain) ? [lines.slice(0, start).join('\n'), calls] : [text, []];
}

function valueText(value) {
  const text = lineText(value);
  return typeof value === 'string' || text.length <= 80 ? text : JSON.stringify(value, null, 1);
}

const lineText = (value) => (typeof value === 'string' ? value : JSON.stringify(value) ?? '');

/* A call beside the one that it is compared with: only arguments that differ are marked. */
function callParts(call, other, side) {
  const same = other && other.name === call.name;
  const row = ([name, value]) => {
    const text = valueText(value);
    const their = same && name in other.values ? valueText(other.values[name]) : null;
    const differs = other && text !== their;
    const parts = !differs ? text : their === null ? element('mark', {}, text) : side ? differingWords(their, text)[1] : differingWords(text, their)[0];
    return element('div', { class: differs ? 'argument differs' : 'argument' }, element('span', { class: 'key' }, name),
      element('div', {}, clamped(element('code', { class: 'text', dir: 'auto' }, parts))));
  };
  return element('div', { class: 'call' }, element('div', { class: 'call-name' }, other && !same ? element('mark', {}, call.name) : call.name), Object.entries(call.values).map(row));
}

/* A text with its calls; `null` if it has none. */
function withCalls(text, otherText = null, side = 0) {
  const [said, calls] = splitCalls(text);
  if (!calls.length) return null;
  const [theirs, others] = otherText === null ? [null, []] : splitCalls(otherText);
  const words = theirs === null ? said : differingWords(side ? theirs : said, side ? said : theirs)[side];
  const compared = (i) => (otherText === null ? null : others[i] || { name: '', values: {} });
  return [said.trim() ? element('div', { class: 'text', dir: 'auto' }, words) : null, calls.map((call, i) => callParts(call, compared(i), side))];
}

/* An action in one line: a call is its name and its arguments, those first in which it differs from `others`, from where they differ. */
function brief(text, others = []) {
  const [said, calls] = splitCalls(text);
  if (!calls.length) return oneLine(fromDifference(text.slice(0, 2000), others.map((other) => other.slice(0, 2000))));
  const theirs = others.map((other) => splitCalls(other)[1]);
  const words = calls.slice(0, 3).map((call, at) => briefCall(call, theirs.map((list) => list[at]).filter((other) => other && other.name === call.name)));
  if (calls.length > 3) words.push(`${calls.length - 3} more`);
  return oneLine(words.join(' + ')) || oneLine(said);
}

function briefCall(call, others) {
  const unlike = ([name, value]) => others.some((other) => lineText(other.values[name] ?? '') !== lineText(value));
  const rank = (entry) => (unlike(entry) ? 0 : typeof entry[1] !== 'string' ? 3 : entry[1].includes('\n') ? 2 : 1);
  const values = Object.entries(call.values).map((entry, at) => [rank(entry), at, entry]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const parts = values.filter(([order]) => order === 0 || values[0][0] !== 0).slice(0, 3).map(([order, , [name, value]]) => {
    const whole = lineText(value).slice(0, 2000);
    const shown = order ? whole : fromDifference(whole, others.map((other) => lineText(other.values[name] ?? '').slice(0, 2000)), 8);
    const text = shown.replace(/\s+/gu, ' ').trim().slice(0, 160);
    return typeof value === 'string' && order !== 0 ? text : `${name}: ${text}`;
  });
  return [call.name, parts.join(', ')].filter(Boolean).join(' ');
}

/* A text without the beginning that it shares with one of the others, if that is long. */
function fromDifference(text, others, most = 20) {
  let shared = 0;
  for (const other of others) {
    if (other === text) continue;
    let same = 0;
    while (same < text.length && text[same] === other[same]) same += 1;
    shared = Math.max(shared, same);
  }
  if (shared <= most || shared >= text.length) return text;
  const start = most < 20 ? Math.max(text.lastIndexOf(' ', shared - 1), text.lastIndexOf('\n', shared - 1), shared - 20) + 1 : contextOf(text, shared);
  return start && text.slice(0, start).trim() ? `…${text.slice(start)}` : text;
}

/* The action of a node in one line, beside its alternatives. */
function briefOf(model, i) {
  if (!model.briefs.has(i)) {
    const others = (model.group[i] || []).filter((at) => at !== i).slice(0, 20);
    model.briefs.set(i, brief(actionOf(model, i), others.map((at) => actionOf(model, at)).filter((text) => text.length < 100000)).slice(0, 300));
  }
  return model.briefs.get(i);
}
