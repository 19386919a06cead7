/* Places: a tree from left to right, so that actions read as lines, and as narrow as its words allow. */

const ROW = 34;
const WIDEST_ROW = 46;
const HEIGHT = 24;
const GAP = 38;
const CHARACTER = 7.25;
const LONGEST_LABEL = 30;
const LONGEST_WHERE_WIDE = 56;

const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1).trimEnd()}…` : text);

/* Wide characters take two places; good enough to keep labels inside their box. */
function columnsOf(text) {
  if (/^[\x20-\x7e…⏎]*$/u.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/u.test(character) ? 2 : 1;
  return columns;
}

function endLabel(model, i) {
  const { ends } = model.data.nodes;
  return ends[i] ? `■ ${model.scored ? score(endScoreOf(model, i)) : 'end'}${ends[i] > 1 ? ` ×${ends[i]}` : ''}` : '';
}

function describe(model, item) {
  const { node } = item;
  if (item.kind === 'state') {
    const visits = item.group.reduce((sum, i) => sum + model.data.nodes.visits[i], 0);
    item.label = shortened(`${visits} saw ${stateText(model, item.group)}`, 28);
    item.width = 22 + columnsOf(item.label) * 6.3;
    return;
  }
  const steps = item.chain.length;
  const leaf = !model.states[node].length;
  item.hidden = model.folded.has(node) ? model.below[node] : 0;
  item.foldable = !leaf && model.data.nodes.parent[node] >= 0;
  const key = item.chain[0] * 65536 + steps;
  item.look = model.looks.get(key) || lookOf(model, item, leaf);
  model.looks.set(key, item.look);
  item.width = item.look.width;
}

/* What a box says and how wide that is; the same until it is opened, so it is worked out once. */
function lookOf(model, { chain, node }, leaf) {
  const steps = chain.length;
  const look = {};
  look.label = shortened(briefOf(model, chain[0]) || '(empty)', (model.longest || LONGEST_LABEL) - (steps > 1 ? 6 : 0));
  look.more = steps > 1 ? ` › ${steps - 1} more` : '';
  look.value = meanOf(model, node);
  look.colour = colour(look.value);
  look.ends = endLabel(model, node);
  look.mean = !model.scored || (leaf && look.ends) ? '' : score(look.value);
  look.labelWidth = columnsOf(look.label) * CHARACTER;
  look.moreWidth = look.more.length * CHARACTER;
  look.meanWidth = look.mean ? look.mean.length * 6.6 + 8 : 0;
  look.endWidth = look.ends ? look.ends.length * 6.7 + 10 : 0;
  look.width = 14 + look.labelWidth + look.moreWidth + look.meanWidth + look.endWidth + 10;
  return look;
}

/* Every ending has a row of its own, so boxes never meet whatever their width, and a box starts where its parent ends. */
function layOut(model) {
  const root = d3.hierarchy(visibleItems(model));
  d3.cluster().nodeSize([model.row || ROW, 1]).separation((a, b) => (a.parent === b.parent ? 1 : 1.15))(root);
  const bounds = { top: Infinity, bottom: -Infinity, right: 0 };
  const most = model.data.nodes.visits[0] || 1;
  const items = root.descendants().map((place) => {
    const item = place.data;
    describe(model, item);
    item.parent = place.parent ? place.parent.data : null;
    item.level = place.depth;
    item.x = item.parent ? item.parent.x + item.parent.width + GAP : 0;
    item.y = place.x;
    const visits = item.kind === 'state' ? item.group.reduce((sum, i) => sum + model.data.nodes.visits[i], 0) : model.data.nodes.visits[item.node];
    item.thickness = 1.2 + 9 * Math.sqrt(visits / most) * Math.min(1, most / 6);
    bounds.top = Math.min(bounds.top, item.y);
    bounds.bottom = Math.max(bounds.bottom, item.y);
    bounds.right = Math.max(bounds.right, item.x + item.width + (item.hidden ? 40 : 0));
    return item;
  });
  items.sort((a, b) => a.y - b.y || a.x - b.x);
  const byNode = new Map();
  for (const item of items) for (const i of item.chain) byNode.set(i, item);
  return { items, byNode, bounds, root: root.data };
}

/* The first item that is not above y. */
function firstFrom(items, y) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].y < y) low = middle + 1;
    else high = middle;
  }
  return low;
}

function itemAt(layout, x, y) {
  for (let i = firstFrom(layout.items, y - HEIGHT / 2 - 2); i < layout.items.length && layout.items[i].y <= y + HEIGHT / 2 + 2; i += 1) {
    const item = layout.items[i];
    if (x >= item.x - 3 && x <= item.x + item.width + (item.foldable ? 30 : 3)) return item;
  }
  return null;
}

const onFold = (item, x) => item.foldable && x > item.x + item.width - 2;
const onMore = ({ look, x: left }, x) => Boolean(look.more) && x > left + 13 + look.labelWidth && x < left + 13 + look.labelWidth + look.moreWidth;
