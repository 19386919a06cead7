/* Decisions: states in which rollouts acted differently. The best supported difference between mean scores comes first. */

function decisionsOf(model) {
  if (model.decisions) return model.decisions;
  const { scored_visits: scored, id: ids } = model.data.nodes;
  const found = [];
  model.states.forEach((states, node) => states.forEach((group) => {
    const known = group.filter((i) => scored[i]);
    if (known.length < 2) return;
    const [best, worst] = [1, -1].map((sign) => known.toSorted((a, b) => sign * (meanOf(model, b) - meanOf(model, a)) || scored[b] - scored[a] || sign * (ids[b] > ids[a] ? 1 : -1))[0]);
    const spread = meanOf(model, best) - meanOf(model, worst);
    if (spread > 1e-9) found.push({ node, group, best, worst, spread, weight: spread * Math.sqrt((scored[best] * scored[worst]) / (scored[best] + scored[worst])) });
  }));
  model.decisions = found.sort((a, b) => b.weight - a.weight || model.depth[a.node] - model.depth[b.node] || a.best - b.best);
  return model.decisions;
}

/* The decision whose alternatives include the node. */
const decisionAt = (model, i) => decisionsOf(model).findIndex((decision) => decision.group.includes(i));

function goToDecision(by) {
  const { model } = current;
  const all = decisionsOf(model);
  if (!all.length) { announce('No actions of this tree lead to different scores.'); return; }
  const at = decisionAt(model, model.numberOf.get(current.place.node) ?? 0);
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : (at + by + all.length) % all.length;
  go({ node: model.data.nodes.id[all[next].best], tab: 'decisions', rollout: null, pair: null });
}

function showDecisions(model, i) {
  const all = decisionsOf(model);
  const { nodes } = model.data;
  const here = decisionAt(model, i);
  const line = (mark, name, at) => sideLine(mark, name, briefOf(model, at), meanOf(model, at), nodes.scored_visits[at]);
  const rows = all.slice(0, 200).map((decision, place) => element('button', { class: 'pair', type: 'button', 'aria-current': place === here ? 'true' : null, onclick: () => go({ node: nodes.id[decision.best], tab: 'decisions', rollout: null, pair: null }) },
    element('div', { class: 'kind' }, element('span', {}, `step ${model.depth[decision.node] + 1}, ${plural(decision.group.length, 'alternative')}`), element('span', { class: 'number', title: TERMS.difference }, `difference ${score(decision.spread)}`)),
    line('+', 'plus', decision.best), line('−', 'minus', decision.worst)));
  const body = byId('side-body');
  body.replaceChildren(
    element('p', { class: 'soft lead-in' }, all.length
      ? `${plural(all.length, 'decision')} that ${all.length === 1 ? 'changes' : 'change'} the score${all.length === 1 ? '.' : ', the best supported difference first. N and P go to the next and the previous one.'}`
      : 'No actions of this tree lead to different scores.'),
    ...(here >= 0 ? [decisionDetail(model, all[here])] : []),
    element('div', {}, rows));
  body.scrollTop = 0;
}

/* An observation after a node, compared with those on the way to it. */
function observed(model, node, observation) {
  const remember = makeMemory();
  for (const at of pathTo(model, node).slice(1)) remember(textOf(model, 'observation', at), `at step ${model.depth[at]}`);
  const who = speaker(model, node);
  return turn(who.startsWith('Result') ? 'environment result' : 'environment', [who], clamped(remember(observation, '')));
}

/* What was observed, and everything that was done about it. */
function decisionDetail(model, { node, group }) {
  const observation = textOf(model, 'observation', group[0]);
  return element('div', { class: 'decision' },
    model.data.nodes.parent[node] >= 0 || observation !== textOf(model, 'observation', 0) ? element('div', {}, observed(model, node, observation)) : null,
    element('div', { class: 'rows' }, group.slice(0, 100).map((at) => nodeRow(model, at, model.numberOf.get(current.place.node)))));
}

/* The two sides of a decision as trails: everything below its best and its worst action. */
function decisionTrails(model, i) {
  const at = decisionAt(model, i);
  if (at < 0) return [];
  const { best, worst } = decisionsOf(model)[at];
  return [{ nodes: below(model, worst), shade: 'worse', fades: true }, { nodes: below(model, best), shade: 'better', fades: true }];
}

function below(model, i) {
  const found = [];
  const waiting = [i];
  while (waiting.length) {
    const at = waiting.pop();
    found.push(at);
    for (const group of model.states[at]) waiting.push(...group);
  }
  return found;
}
