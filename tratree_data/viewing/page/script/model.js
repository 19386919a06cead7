/* One tree: columns from the store, children by state, and which nodes are visible. */

function makeModel(data) {
  const { nodes } = data;
  const size = nodes.id.length;
  const states = Array.from({ length: size }, () => []);
  const depth = new Int32Array(size);
  const group = new Array(size).fill(null);
  for (let i = 0; i < size; i += 1) {
    const parent = nodes.parent[i];
    if (parent < 0) continue;
    depth[i] = depth[parent] + 1;
    const known = states[parent];
    const last = known[known.length - 1];
    if (last && nodes.state[last[0]] === nodes.state[i]) last.push(i);
    else known.push([i]);
    group[i] = known[known.length - 1];
  }
  const numberOf = new Map(nodes.id.map((id, i) => [id, i]));
  const scored = nodes.scored_visits[0] > 0;
  const model = { data, size, states, depth, group, scored, numberOf, briefs: new Map(), looks: new Map(), folded: new Set(), opened: new Set(), below: countBelow(nodes.parent) };
  model.calls = nodes.action.slice(0, 300).some((number) => number >= 0 && data.texts[number].includes('{') && splitCalls(data.texts[number])[1].length);
  model.best = new Set(data.paths.length ? [0, ...data.paths[0].nodes] : []);
  foldToFit(model);
  return model;
}

/* The number of descendants of each node; parents come before their children. */
function countBelow(parents) {
  const below = new Int32Array(parents.length);
  for (let i = parents.length - 1; i > 0; i -= 1) if (parents[i] >= 0) below[parents[i]] += below[i] + 1;
  return below;
}

const textOf = (model, column, i) => { const number = model.data.nodes[column][i]; return number < 0 ? '' : model.data.texts[number]; };
const actionOf = (model, i) => (model.data.nodes.parent[i] < 0 ? 'start' : textOf(model, 'action', i));
const ratio = (sum, n) => (n ? sum / n : null);
const meanOf = ({ data: { nodes } }, i) => ratio(nodes.score_sum[i], nodes.scored_visits[i]);
const endScoreOf = ({ data: { nodes } }, i) => ratio(nodes.end_score_sum[i], nodes.scored_ends[i]);

function pathTo(model, i) {
  const path = [];
  for (let at = i; at >= 0; at = model.data.nodes.parent[at]) path.push(at);
  return path.reverse();
}

/* A large tree opens with its most visited nodes and e*, as many rows as fit a screen; the rest is folded. */
function foldToFit(model, rows = 26) {
  model.folded.clear();
  if (model.states.filter((states) => !states.length).length <= 1.5 * rows) return;
  const { visits, parent } = model.data.nodes;
  const byVisits = Array.from({ length: model.size }, (_, i) => i).sort((a, b) => visits[b] - visits[a] || a - b);
  const open = new Set(model.best);
  const more = (i) => Math.max(0, model.states[i].reduce((sum, state) => sum + state.length, 0) - 1);
  let shown = 1;
  for (const i of open) shown += more(i);
  for (const i of byVisits) {
    if (open.has(i) || (parent[i] >= 0 && !open.has(parent[i])) || shown + more(i) > rows) continue;
    open.add(i);
    shown += more(i);
  }
  for (let i = 0; i < model.size; i += 1) if (model.states[i].length && !open.has(i)) model.folded.add(i);
}

/* A node and the steps after it without an alternative or an end: one box until it is opened. */
function chainFrom(model, i) {
  const chain = [i];
  let at = i;
  while (!model.opened.has(at) && !model.data.nodes.ends[at] && model.states[at].length === 1 && model.states[at][0].length === 1 && !model.folded.has(at)) {
    [[at]] = model.states[at];
    chain.push(at);
  }
  return chain;
}

/* What is drawn: boxes for nodes, and states of the environment. Without recursion, because trees can be thousands of steps deep. */
function visibleItems(model) {
  const root = { kind: 'node', node: 0, chain: [0], children: [] };
  const waiting = [root];
  const add = (parent, i) => {
    const chain = chainFrom(model, i);
    const item = { kind: 'node', node: chain[chain.length - 1], chain, children: [] };
    parent.children.push(item);
    waiting.push(item);
  };
  while (waiting.length) {
    const item = waiting.pop();
    if (item.kind === 'state') { item.group.forEach((i) => add(item, i)); continue; }
    if (model.folded.has(item.node)) continue;
    const states = model.states[item.node];
    if (states.length > 1) {
      for (const group of states) {
        const state = { kind: 'state', node: group[0], group, chain: [], children: [] };
        item.children.push(state);
        waiting.push(state);
      }
    } else if (states.length) states[0].forEach((i) => add(item, i));
  }
  return root;
}

/* Where to start reading so that the character at `place` makes sense: at its sentence, or a few words earlier. */
function contextOf(text, place) {
  const stop = text.lastIndexOf('. ', place - 2);
  const sentence = Math.max(text.lastIndexOf('\n', place - 1), stop < 0 ? -1 : stop + 1);
  if (place - sentence <= 24) return sentence + 1;
  return text.indexOf(' ', place - 16) + 1;
}

/* What distinguishes a state: its observation, from where it differs from the other states. */
function stateText(model, group) {
  const parent = model.data.nodes.parent[group[0]];
  const text = textOf(model, 'observation', group[0]);
  let shared = 0;
  for (const other of model.states[parent]) {
    if (other[0] === group[0]) continue;
    const theirs = textOf(model, 'observation', other[0]);
    let same = 0;
    while (same < text.length && text[same] === theirs[same]) same += 1;
    shared = Math.max(shared, same);
  }
  const start = shared > 20 ? contextOf(text, shared) : 0;
  return `${start ? '…' : ''}${oneLine(text.slice(start, start + 160).replace(/\s+/gu, ' '))}`;
}
