/* Pointers and keys on the stage. */

function listenToPointers(canvas, stage) {
  const { camera, look } = stage;
  const pointers = new Map();
  let moved = 0;
  let gap = 0;
  const toTree = (event) => {
    const area = canvas.getBoundingClientRect();
    return [(event.clientX - area.left - camera.x) / camera.scale, (event.clientY - area.top - camera.y) / camera.scale];
  };
  const spread = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };

  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved = pointers.size > 1 ? 99 : 0;
    if (pointers.size === 2) gap = spread();
    hideCard();
  });
  canvas.addEventListener('pointermove', (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) { hover(event); return; }
    const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < 4) return;
    canvas.classList.add('grabbing');
    camera.x += dx / pointers.size;
    camera.y += dy / pointers.size;
    if (pointers.size === 2) {
      const now = spread();
      const area = canvas.getBoundingClientRect();
      const [a, b] = [...pointers.values()];
      stage.zoom(now / (gap || now), (a.x + b.x) / 2 - area.left, (a.y + b.y) / 2 - area.top);
      gap = now;
    }
    stage.redraw();
  });
  const release = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    canvas.classList.remove('grabbing');
    if (event.type === 'pointerup' && moved < 4) click(event);
  };
  canvas.addEventListener('pointerup', release);
  canvas.addEventListener('pointercancel', release);
  canvas.addEventListener('pointerleave', () => { look.hovered = null; hideCard(); stage.redraw(); });
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const area = canvas.getBoundingClientRect();
    if (event.ctrlKey || event.metaKey) stage.zoom(Math.exp(-event.deltaY / 240), event.clientX - area.left, event.clientY - area.top);
    else {
      camera.x -= event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
      camera.y -= event.shiftKey && !event.deltaX ? 0 : event.deltaY;
      stage.redraw();
    }
    hideCard();
  }, { passive: false });

  function click(event) {
    const [x, y] = toTree(event);
    const item = itemAt(stage.layoutNow(), x, y);
    if (!item) return;
    if (item.kind === 'node' && onMore(item, x)) stage.openChain(item);
    else if (item.kind === 'node' && onFold(item, x)) stage.toggle(item.node);
    else stage.onPick(item.node);
  }

  function hover(event) {
    if (!stage.layoutNow() || event.pointerType === 'touch') return;
    const [x, y] = toTree(event);
    const item = itemAt(stage.layoutNow(), x, y);
    canvas.classList.toggle('pointing', Boolean(item));
    const more = Boolean(item) && onMore(item, x);
    if (item !== look.hovered || more !== look.onMore) { Object.assign(look, { hovered: item, onMore: more }); stage.redraw(); }
    if (item && !onFold(item, x)) (stage.card || showCard)(stage.modelNow(), item, event.clientX, event.clientY);
    else hideCard();
  }
}

function listenToKeys(container, stage) {
  const { look } = stage;
  container.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== container) return;
    const next = target(event.key);
    if (next === undefined) return;
    event.preventDefault();
    if (next !== null && next >= 0) stage.onPick(next);
  });

  /* The node that a key leads to; null if the key did something else, undefined if it means nothing here. */
  function target(key) {
    const model = stage.modelNow();
    const at = Math.max(look.pinned, 0);
    const states = model.states[at];
    const actions = {
      ArrowLeft: () => Math.max(model.data.nodes.parent[at], 0),
      ArrowRight: () => { model.folded.delete(at); return states.length ? states[0][0] : at; },
      ArrowUp: () => neighbour(-1, at),
      ArrowDown: () => neighbour(1, at),
      Home: () => 0,
      Enter: () => { stage.toggle(at); return null; },
      ' ': () => { stage.toggle(at); return null; },
      b: () => (model.data.paths.length ? model.data.paths[0].nodes[Math.max(0, model.data.paths[0].nodes.indexOf(at) + 1)] ?? at : at),
      f: () => { stage.fit(true); return null; },
      '+': () => { stage.zoom(1.25); return null; },
      '-': () => { stage.zoom(0.8); return null; },
      Escape: () => { stage.onLeave(); return null; },
    };
    return actions[key] ? actions[key]() : undefined;
  }

  /* Up and down: the next alternative; at the end of a group, the next node at the same depth. */
  function neighbour(direction, at) {
    const { items, byNode } = stage.layoutNow();
    const here = byNode.get(at);
    if (!here) return at;
    for (let i = items.indexOf(here) + direction; i >= 0 && i < items.length; i += direction) {
      if (items[i].kind === 'node' && items[i].level === here.level) return items[i].chain[0];
    }
    return at;
  }
}

function showCard(model, item, x, y) {
  const { nodes } = model.data;
  const i = item.kind === 'node' ? item.chain[0] : item.node;
  const parts = [];
  const part = (name, node) => parts.push([name, node]);
  part(nodes.parent[i] < 0 ? 'Instruction' : 'Observation', written('div', 'clamp', textOf(model, 'observation', i).slice(0, 1500)));
  if (item.kind === 'node' && textOf(model, 'thought', i)) part('Thought', written('div', 'thought clamp', textOf(model, 'thought', i).slice(0, 1500)));
  if (item.kind === 'node' && nodes.parent[i] >= 0) part('Action', written('div', 'action clamp', briefOf(model, i)));
  if (item.chain.length > 1) part('Then, without alternatives', written('div', 'action clamp', item.chain.slice(1, 12).map((at) => shortened(briefOf(model, at), 60)).join('\n')));
  const visits = item.kind === 'state' ? item.group.reduce((sum, at) => sum + nodes.visits[at], 0) : nodes.visits[i];
  const line = [plural(visits, 'rollout')];
  if (item.kind === 'state') line.push('state: what the environment answered');
  else line.push(`mean ${score(meanOf(model, i))}`);
  if (item.kind === 'node' && nodes.value && nodes.value[item.node] !== null) line.push(`value ${score(nodes.value[item.node])}`);
  if (item.kind === 'node' && nodes.ends[item.node]) line.push(`${plural(nodes.ends[item.node], 'rollout')} ${nodes.ends[item.node] === 1 ? 'ends' : 'end'} here with ${score(endScoreOf(model, item.node))}`);
  placeCard(parts, line, x, y);
}

function placeCard(parts, line, x, y) {
  const card = byId('card');
  card.replaceChildren(element('dl', {}, parts.map(([name, node]) => [element('dt', {}, name), element('dd', {}, node)])), line.length ? element('p', { class: 'line' }, line.join(' · ')) : '');
  card.hidden = false;
  const area = card.getBoundingClientRect();
  card.style.left = `${Math.max(8, Math.min(x + 16, innerWidth - area.width - 12))}px`;
  card.style.top = `${y + 20 + area.height > innerHeight ? Math.max(8, y - area.height - 14) : y + 20}px`;
}

const hideCard = () => { byId('card').hidden = true; };
