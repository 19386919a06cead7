/* The graph of a task: states, whatever came before them, and the actions that led from one to another. */

const COLUMN = 250;
const LAYER_GAP = 96;

/* Layers by the fewest steps from a start, ordered so that links cross little; links back to an earlier layer are drawn as arcs. */
function makeGraph(model) {
  const { graph, texts } = model.data;
  const size = graph.id.length;
  const { from, to, visits } = graph.moves;
  const [out, into] = [Array.from({ length: size }, () => []), Array.from({ length: size }, () => [])];
  from.forEach((state, move) => { out[state].push(move); if (to[move] >= 0) into[to[move]].push(move); });
  const layer = new Int32Array(size).fill(-1);
  const spread = (starts) => {
    let waiting = starts.filter((state) => layer[state] < 0);
    waiting.forEach((state) => { layer[state] = 0; });
    while (waiting.length) {
      const next = [];
      for (const state of waiting) for (const move of out[state]) if (to[move] >= 0 && layer[to[move]] < 0) { layer[to[move]] = layer[state] + 1; next.push(to[move]); }
      waiting = next;
    }
  };
  spread(graph.id.map((_, state) => state).filter((state) => into[state].every((move) => from[move] === state)));
  spread(model.data.nodes.parent.map((parent, i) => (parent === 0 ? stateOfNode(model, i) : -1)).filter((state) => state >= 0));
  for (let state = 0; state < size; state += 1) spread([state]);
  const layers = [];
  for (let state = 0; state < size; state += 1) (layers[layer[state]] ||= []).push(state);
  const place = new Float64Array(size);
  layers.forEach((states) => states.sort((a, b) => graph.visits[b] - graph.visits[a]).forEach((state, i) => { place[state] = i - states.length / 2; }));
  const pull = (state, moves, other) => {
    let [sum, weight] = [0, 0];
    for (const move of moves) { const at = other[move]; if (at >= 0 && layer[at] !== layer[state]) { sum += place[at] * visits[move]; weight += visits[move]; } }
    return weight ? sum / weight : place[state];
  };
  for (let round = 0; round < 8; round += 1) {
    for (const states of round % 2 ? [...layers].reverse() : layers) {
      const wish = new Map(states.map((state) => [state, round % 2 ? pull(state, out[state], to) : pull(state, into[state], from)]));
      states.sort((a, b) => wish.get(a) - wish.get(b) || a - b).forEach((state, i) => { place[state] = i - (states.length - 1) / 2; });
    }
  }
  const known = graph.distance.filter((distance) => distance !== null);
  const furthest = Math.max(1, ...known);
  const most = Math.max(...graph.visits);
  const items = graph.id.map((_, node) => {
    const text = contextLine(texts[graph.observation[node]], layers[layer[node]].map((other) => texts[graph.observation[other]]));
    const label = shortened(text, 26);
    const ends = graph.ends[node] ? `■ ${graph.solved_ends[node]} of ${graph.ends[node]} solved` : '';
    const near = graph.distance[node];
    const value = known.length ? (near === null ? 0 : 1 - (near - 1) / Math.max(furthest, 2)) : graph.mean[node];
    const facts = [near === null ? '' : plural(near, 'step'), ends].filter(Boolean).join(' · ');
    return { kind: 'graph', node, chain: [node], x: layer[node] * (COLUMN + LAYER_GAP), y: place[node] * 46, width: COLUMN, label, facts, value, thickness: 1 + 3 * Math.sqrt(graph.visits[node] / most) };
  });
  const links = new Map();
  from.forEach((state, move) => {
    if (to[move] < 0) return;
    const key = state * size + to[move];
    if (!links.has(key)) links.set(key, { from: items[state], to: items[to[move]], visits: 0, sum: 0, scored: 0 });
    const link = links.get(key);
    link.visits += visits[move];
    if (graph.moves.mean[move] !== null) { link.sum += graph.moves.mean[move] * visits[move]; link.scored += visits[move]; }
  });
  const sorted = [...items].sort((a, b) => a.y - b.y || a.x - b.x);
  const bounds = { top: sorted[0].y - HEIGHT, bottom: sorted.at(-1).y + HEIGHT, right: layers.length * (COLUMN + LAYER_GAP) };
  const mostTaken = Math.max(1, ...[...links.values()].map((link) => link.visits));
  return { items: sorted, byNode: new Map(items.map((item) => [item.node, item])), bounds, links: [...links.values()], mostTaken, out, into, layers, layer, known: known.length > 0, furthest };
}

/* The state in which a node's action was taken: by its credit, or by its text. */
function stateOfNode(model, i) {
  const { graph, nodes } = model.data;
  if (!graph) return -1;
  return graph.of_node[i] >= 0 ? graph.of_node[i] : graph.observation.indexOf(nodes.observation[i]);
}

/* One line of a text, from where it differs from all others of its layer. */
function contextLine(text, others) {
  let shared = 0;
  for (const other of others) {
    if (other === text) continue;
    let same = 0;
    while (same < text.length && text[same] === other[same]) same += 1;
    shared = Math.max(shared, same);
  }
  const start = shared > 20 && shared < text.length ? contextOf(text, shared) : 0;
  return `${start ? '…' : ''}${oneLine(text.slice(start, start + 160).replace(/\s+/gu, ' '))}`;
}

function traceLink(context, { from, to }) {
  const [x0, y0, x1, y1] = [from.x + from.width, from.y, to.x, to.y];
  if (from === to) { context.moveTo(x0 - 30, y0 - 12); context.bezierCurveTo(x0 - 30, y0 - 44, x0 + 30, y0 - 44, x0, y0 - 4); return [x0, y0 - 4, Math.PI * 0.68]; }
  if (x1 > x0) {
    const middle = (x0 + x1) / 2;
    context.moveTo(x0, y0); context.bezierCurveTo(middle, y0, middle, y1, x1, y1);
    return [x1, y1, 0];
  }
  const lift = Math.min(y0, y1) - 30 - 0.06 * Math.abs(x0 - x1);
  context.moveTo(x0 - 20, y0 - 12); context.bezierCurveTo(x0 + 30, lift, x1 + to.width - 50, lift, x1 + to.width - 20, y1 - 12);
  return [x1 + to.width - 20, y1 - 12, Math.PI / 2];
}

function paintGraph(canvas, graph, camera, look) {
  const pixels = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * pixels) || canvas.height !== Math.round(height * pixels)) { canvas.width = Math.round(width * pixels); canvas.height = Math.round(height * pixels); }
  const context = canvas.getContext('2d');
  const { shades } = look;
  context.setTransform(pixels, 0, 0, pixels, 0, 0);
  context.clearRect(0, 0, width, height);
  context.setTransform(pixels * camera.scale, 0, 0, pixels * camera.scale, pixels * camera.x, pixels * camera.y);
  context.textBaseline = 'middle';
  const [left, top] = [-camera.x / camera.scale, -camera.y / camera.scale];
  const [right, bottom] = [left + width / camera.scale, top + height / camera.scale];
  const inSight = (item) => item.x <= right && item.x + item.width >= left && item.y >= top - 30 && item.y <= bottom + 30;
  const near = (link) => look.pinned < 0 || link.from.node === look.pinned || link.to.node === look.pinned;
  const detailed = camera.scale > 0.35;
  for (const strong of [false, true]) {
    for (const link of graph.links) {
      if (near(link) !== strong || (!inSight(link.from) && !inSight(link.to) && !(Math.min(link.from.x, link.to.x) < right && Math.max(link.from.x, link.to.x) > left))) continue;
      context.globalAlpha = strong ? 1 : 0.4;
      context.strokeStyle = link.scored ? linkColour(link.sum / link.scored) : shades.link;
      context.fillStyle = context.strokeStyle;
      context.lineWidth = 1 + 5 * Math.sqrt(link.visits / graph.mostTaken);
      context.beginPath();
      const [x, y, angle] = traceLink(context, link);
      context.stroke();
      if (!detailed) continue;
      const reach = 5 + context.lineWidth;
      context.beginPath();
      context.moveTo(x, y); context.lineTo(x - reach * Math.cos(angle - 0.45), y - reach * Math.sin(angle - 0.45)); context.lineTo(x - reach * Math.cos(angle + 0.45), y - reach * Math.sin(angle + 0.45));
      context.fill();
    }
  }
  context.globalAlpha = 1;
  for (const item of graph.items) {
    if (!inSight(item)) continue;
    const y = item.y - HEIGHT / 2;
    if (!detailed) { context.fillStyle = colour(item.value); context.fillRect(item.x, y, item.width, HEIGHT); continue; }
    box(context, item.x, y, item.width, HEIGHT, 6);
    context.fillStyle = item === look.hovered ? shades.sunken : shades.surface;
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = shades.border;
    context.stroke();
    box(context, item.x, y, 7, HEIGHT, [6, 0, 0, 6]);
    context.fillStyle = colour(item.value);
    context.fill();
    context.font = shades.font;
    context.fillStyle = shades.ink;
    context.fillText(item.label, item.x + 14, item.y + 0.5);
    context.font = shades.smallFont;
    context.fillStyle = shades.soft;
    context.fillText(item.facts, item.x + 8, item.y + HEIGHT / 2 + 8);
    if (item.node === look.pinned) {
      context.strokeStyle = shades.focus;
      context.lineWidth = 2;
      box(context, item.x - 3, y - 3, item.width + 6, HEIGHT + 6, 9);
      context.stroke();
    }
  }
}

function makeGraphStage(container, onPick, onLeave) {
  const canvas = element('canvas', { 'aria-hidden': 'true' });
  container.append(canvas);
  const camera = { x: 0, y: 0, scale: 1 };
  const look = { shades: shadesNow(), pinned: -1, hovered: null };
  let graph = null;
  let model = null;
  const redraw = () => requestAnimationFrame(() => { if (graph) { paintGraph(canvas, graph, camera, look); container.dataset.states = graph.items.length; } });
  const zoom = (factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
    const scale = Math.min(Math.max(camera.scale * factor, 0.01), 3);
    camera.x = x - ((x - camera.x) * scale) / camera.scale;
    camera.y = y - ((y - camera.y) * scale) / camera.scale;
    camera.scale = scale;
    redraw();
  };
  const fit = (whole = false) => {
    const { bounds } = graph;
    const scale = Math.min((canvas.clientWidth - 40) / bounds.right, (canvas.clientHeight - 150) / (bounds.bottom - bounds.top), 1.1);
    camera.scale = Math.max(scale, whole ? 0.01 : 0.85);
    camera.x = 20;
    camera.y = 60 + (canvas.clientHeight - 110) / 2 - (((bounds.top + bounds.bottom) / 2) * camera.scale);
    redraw();
  };
  const reveal = (state) => {
    const item = graph.byNode.get(state);
    if (!item) return;
    const [x, y] = [camera.x + item.x * camera.scale, camera.y + item.y * camera.scale];
    if (x < 0 || x + item.width * camera.scale > canvas.clientWidth) camera.x += canvas.clientWidth / 3 - x;
    if (y < 70 || y > canvas.clientHeight - 60) camera.y += canvas.clientHeight / 2 - y;
  };
  listenToPointers(canvas, { camera, look, redraw, zoom, layoutNow: () => graph, modelNow: () => model, onPick, card: showStateCard });
  container.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== container) return;
    const at = Math.max(look.pinned, 0);
    const most = (moves, other) => { const found = moves.filter((move) => other[move] >= 0 && other[move] !== at).sort((a, b) => model.data.graph.moves.visits[b] - model.data.graph.moves.visits[a])[0]; return found === undefined ? at : other[found]; };
    const beside = (by) => { const states = graph.layers[graph.layer[at]]; return states[states.indexOf(at) + by] ?? at; };
    const { from, to } = model.data.graph.moves;
    const keys = { ArrowRight: () => most(graph.out[at], to), ArrowLeft: () => most(graph.into[at], from), ArrowUp: () => beside(-1), ArrowDown: () => beside(1), f: () => { fit(true); return null; }, '+': () => { zoom(1.25); return null; }, '-': () => { zoom(0.8); return null; }, Escape: () => { onLeave(); return null; } };
    if (!keys[event.key]) return;
    event.preventDefault();
    const next = keys[event.key]();
    if (next !== null) onPick(next);
  });
  new ResizeObserver(redraw).observe(canvas);
  return {
    zoom, fit, redraw,
    open(next) {
      if (model === next) return;
      const same = model && model.data.tree_id === next.data.tree_id;
      model = next;
      graph = model.graph ||= makeGraph(model);
      look.pinned = -1;
      if (!same) fit();
    },
    pin(state) { look.pinned = state; if (state >= 0) reveal(state); redraw(); },
    recolour() { look.shades = shadesNow(); redraw(); },
    now: () => graph,
  };
}

function showStateCard(model, item, x, y) {
  const { graph, texts } = model.data;
  placeCard([['Observation', written('div', 'clamp', texts[graph.observation[item.node]].slice(0, 1500))]],
    [plural(graph.visits[item.node], 'visit'), `mean return ${score(graph.value[item.node])}`, graph.distance[item.node] === null ? 'no solved end from here' : `${plural(graph.distance[item.node], 'step')} to a solved end`], x, y);
}

/* The selected state: what was seen, what was done there, where it came from, and its nodes in the tree. */
function showState(model, state) {
  const { graph, texts, nodes } = model.data;
  const { moves } = graph;
  const { out, into } = model.graph;
  const other = (at) => (at < 0 ? 'the end, or nothing seen' : `◇ ${model.graph.byNode.get(at).label}`);
  const row = (move, at) => element('button', { class: 'row', type: 'button', onclick: () => { if (at >= 0) go({ state: graph.id[at] }); } },
    swatch(moves.mean[move]), element('span', { class: 'label code', dir: 'auto' }, brief(texts[moves.action[move]], out[moves.from[move]].slice(0, 20).filter((one) => one !== move).map((one) => texts[moves.action[one]])).slice(0, 300), element('small', {}, other(at))),
    element('span', { class: 'tail' }, `${moves.advantage[move] === null ? '' : `${signed(moves.advantage[move])} · `}${plural(moves.visits[move], 'time')}`));
  const order = (list) => [...list].sort((a, b) => (moves.advantage[b] ?? -9) - (moves.advantage[a] ?? -9) || moves.visits[b] - moves.visits[a]).slice(0, 100);
  const here = nodes.id.map((_, i) => i).filter((i) => nodes.parent[i] >= 0 && stateOfNode(model, i) === state);
  const body = byId('side-body');
  body.replaceChildren(
    element('div', { class: 'node-head' }, element('p', { class: 'action' }, 'State'), element('dl', { class: 'stats' },
      term('visits', count(graph.visits[state])), term('mean score', swatch(graph.mean[state]), score(graph.mean[state])), term('mean return', score(graph.value[state])),
      term('distance', graph.distance[state] === null ? '–' : plural(graph.distance[state], 'step')), graph.ends[state] ? term('ends', `${graph.ends[state]}, ${graph.solved_ends[state]} solved`) : null)),
    turn('environment', ['Environment'], clamped(written('div', '', texts[graph.observation[state]]))),
    detail('Actions from here', `${out[state].length}, the largest advantage first`, element('div', { class: 'rows' }, order(out[state]).map((move) => row(move, moves.to[move])))),
    ...(into[state].length ? [detail('Led here', '', element('div', { class: 'rows' }, [...into[state]].sort((a, b) => moves.visits[b] - moves.visits[a]).slice(0, 100).map((move) => row(move, moves.from[move]))))] : []),
    detail('In the tree', plural(here.length, 'node'), element('div', { class: 'rows' }, here.slice(0, 100).map((i) => element('button', { class: 'row', type: 'button', onclick: () => go({ node: nodes.id[i], view: null, state: null }) },
      swatch(meanOf(model, i)), element('span', { class: 'label code', dir: 'auto' }, briefOf(model, i)), element('span', { class: 'tail' }, `step ${model.depth[i]} · ${plural(nodes.visits[i], 'rollout')}`))))));
  body.scrollTop = 0;
}
