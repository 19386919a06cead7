/* The canvas that shows a tree: camera, pointer and keys. It shows one model at a time and reports what was selected. */

function makeStage(container, { onPick, onLeave, onChange }) {
  const canvas = element('canvas', { 'aria-hidden': 'true' });
  const crowd = element('div', { class: 'hidden', role: 'tree', id: 'crowd', 'aria-label': 'Trajectory tree' });
  container.append(canvas, crowd);
  const camera = { x: 0, y: 0, scale: 1 };
  const look = { shades: shadesNow(), trails: [], pinned: -1, hovered: null, matches: null, faded: null, endScore: () => null };
  let model = null;
  let layout = null;
  let waiting = false;
  let drawn = false;

  const redraw = () => {
    if (waiting || !layout) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (!layout) return;
      paint(canvas, layout, camera, look);
      if (!drawn) performance.mark('tree-drawn');
      drawn = true;
    });
  };

  function relayout(anchor = -1) {
    const before = anchor >= 0 && layout ? layout.byNode.get(anchor) : null;
    const [x, y] = before ? [before.x, before.y] : [0, 0];
    layout = layOut(model);
    for (const item of layout.items) item.best = item.kind !== 'state' && model.best.has(item.node) && model.data.paths.length > 0;
    const after = before && layout.byNode.get(anchor);
    if (after) { camera.x += (x - after.x) * camera.scale; camera.y += (y - after.y) * camera.scale; }
    container.dataset.items = layout.items.length;
    onChange();
    redraw();
  }

  /* Shows another tree, or with `stay` the same one with more in it, from the same place. */
  function open(next, stay = false) {
    if (stay) { next.longest = model.longest; next.row = model.row; }
    model = next;
    Object.assign(look, { pinned: -1, hovered: null, matches: null, faded: null, trails: [], endScore: (i) => endScoreOf(model, i), shades: shadesNow() });
    if (stay) { relayout(); return; }
    model.row = ROW;
    for (model.longest of [LONGEST_WHERE_WIDE, 42, LONGEST_LABEL]) {
      model.looks.clear();
      relayout();
      if (layout.bounds.right <= canvas.clientWidth - 40) break;
    }
    const rows = layout.items.filter((item) => !item.children.length).length;
    model.row = Math.min(WIDEST_ROW, Math.max(ROW, (canvas.clientHeight - 150) / rows));
    if (model.row > ROW) relayout();
    fit();
  }

  /* The whole tree if it is readable, or else its beginning at a readable size. */
  function fit(whole = false) {
    const { bounds } = layout;
    const [width, height] = [canvas.clientWidth - 40, canvas.clientHeight - 110];
    const scale = Math.min(width / bounds.right, height / (bounds.bottom - bounds.top + HEIGHT), 1.15);
    camera.scale = Math.max(scale, whole ? 0.01 : model.opened.size ? 0.55 : 0.8);
    camera.x = Math.max(20, whole ? (canvas.clientWidth - bounds.right * camera.scale) / 2 : 20);
    const tall = (bounds.bottom - bounds.top) * camera.scale;
    const middle = 58 + height / 2;
    if (tall <= height || whole) camera.y = middle - ((bounds.top + bounds.bottom) / 2) * camera.scale;
    else camera.y = middle - layout.root.y * camera.scale;
    redraw();
  }

  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const scale = Math.min(Math.max(camera.scale * factor, 0.01), 3);
    camera.x = x - ((x - camera.x) * scale) / camera.scale;
    camera.y = y - ((y - camera.y) * scale) / camera.scale;
    camera.scale = scale;
    redraw();
  }

  /* Unfolds what hides the node and moves the camera as little as possible. */
  function reveal(i, centre = false) {
    let changed = false;
    for (const at of pathTo(model, i).slice(0, -1)) changed = model.folded.delete(at) || changed;
    if (changed) relayout(0);
    const item = layout.byNode.get(i);
    if (!item) return;
    const margin = 50;
    const [left, right] = [camera.x + item.x * camera.scale, camera.x + (item.x + item.width) * camera.scale];
    const y = camera.y + item.y * camera.scale;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (centre && (left < 0 || right > width || y < 60 || y > height - 20)) {
      camera.x = Math.min(20, width / 2 - item.x * camera.scale);
      camera.y = height / 2 - item.y * camera.scale;
    } else {
      if (right > width - margin) camera.x -= right - width + margin;
      if (left < margin / 2 || right - left > width) camera.x += margin / 2 - (camera.x + item.x * camera.scale);
      if (y < 80) camera.y += 80 - y;
      if (y > height - margin) camera.y -= y - height + margin;
    }
    redraw();
  }

  function pin(i, { centre = false } = {}) {
    look.pinned = i;
    reveal(i, centre);
    crowd.replaceChildren(...spokenItems(model, i));
    container.setAttribute('aria-activedescendant', 'spoken-item');
    redraw();
  }

  function toggle(i) {
    if (!model.states[i].length) return;
    if (!model.folded.delete(i)) model.folded.add(i);
    relayout(i);
    if (look.pinned >= 0 && !layout.byNode.has(look.pinned)) onPick(i);
    else if (look.pinned === i) crowd.replaceChildren(...spokenItems(model, i));
  }

  function foldAll(folded) {
    model.folded.clear();
    if (folded) {
      for (let i = 0; i < model.size; i += 1) if (model.states[i].length && model.data.nodes.parent[i] >= 0 && !model.best.has(i)) model.folded.add(i);
    }
    relayout();
    if (look.pinned >= 0 && !layout.byNode.has(look.pinned)) onPick(0);
    fit();
  }

  function openChain(item) {
    item.chain.forEach((i) => model.opened.add(i));
    relayout(item.chain[0]);
  }

  /* Shows every step, or joins steps without an alternative. */
  function openAll(opened) {
    model.opened = new Set(opened ? model.states.keys() : []);
    relayout(0);
    fit();
  }

  listenToPointers(canvas, { camera, look, redraw, zoom, layoutNow: () => layout, modelNow: () => model, onPick, toggle, openChain });
  listenToKeys(container, { look, layoutNow: () => layout, modelNow: () => model, onPick, toggle, zoom, fit, onLeave });
  new ResizeObserver(redraw).observe(canvas);
  /* The positions of the boxes on the screen, for tests. */
  container.boxes = () => layout.items.filter((item) => item.kind === 'node').map((item) => {
    const area = canvas.getBoundingClientRect();
    return { x: area.left + camera.x + item.x * camera.scale, y: area.top + camera.y + item.y * camera.scale, width: item.width * camera.scale, label: item.look.label, level: item.level, foldable: item.foldable };
  });

  return {
    open, pin, reveal, fit, zoom, foldAll, openAll, redraw, toggle,
    /* Everything but the trails that fade the rest, or but `kept`, is drawn faintly. */
    showTrails(trails, kept = null) {
      look.trails = trails.map((trail) => ({ ...trail, shade: look.shades[trail.shade] }));
      const fading = trails.filter((trail) => trail.fades);
      look.faded = fading.length ? new Set([0, ...fading.flatMap((trail) => trail.nodes)]) : kept;
      redraw();
    },
    shades: () => look.shades,
    showMatches(matches) { look.matches = matches; redraw(); },
    recolour() { look.shades = shadesNow(); if (model) { model.looks.clear(); relayout(); } },
    inside: () => layout,
    camera,
  };
}

/* The node and its alternatives for screen readers; the canvas itself is only a picture. */
function spokenItems(model, i) {
  const parent = model.data.nodes.parent[i];
  const siblings = parent < 0 ? [i] : model.states[parent].find((state) => state.includes(i));
  return siblings.slice(0, 200).map((at, place) => element('div', {
    role: 'treeitem', id: at === i ? 'spoken-item' : null, 'aria-level': model.depth[at] + 1, 'aria-setsize': siblings.length, 'aria-posinset': place + 1,
    'aria-selected': at === i ? 'true' : 'false', 'aria-expanded': model.states[at].length ? String(!model.folded.has(at)) : null,
  }, spoken(model, at)));
}

function spoken(model, i) {
  const { nodes } = model.data;
  const parts = [briefOf(model, i), plural(nodes.visits[i], 'rollout'), `mean score ${score(meanOf(model, i))}`];
  if (nodes.ends[i]) parts.push(`${nodes.ends[i]} end here with a mean score of ${score(endScoreOf(model, i))}`);
  if (model.data.paths.length && model.best.has(i)) parts.push('on the best path');
  const parent = nodes.parent[i];
  if (parent >= 0 && model.states[parent].length > 1) parts.push(`state ${model.states[parent].findIndex((state) => state.includes(i)) + 1} of ${model.states[parent].length}`);
  return parts.join(', ');
}
