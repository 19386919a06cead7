/* Rollouts: one followed through the tree, two side by side, and which of them are listed. */

const ROLLOUT_FILTERS = {
  agent: ['Agent', (model, i) => rolloutText(model, 'agent', i)],
  model: ['Model', (model, i) => rolloutText(model, 'model', i)],
  result: ['Result', (model, i) => (model.data.rollouts.success[i] === null ? 'unknown' : model.data.rollouts.success[i] ? 'solved' : 'failed')],
  end: ['End reason', (model, i) => rolloutText(model, 'end_reason', i)],
};

const rolloutText = (model, name, i) => { const number = model.data.rollouts[name][i]; return number < 0 ? '' : model.data.texts[number]; };

function rolloutName(model, i) {
  const [agent, name] = [rolloutText(model, 'agent', i), rolloutText(model, 'model', i)];
  const who = name.startsWith(agent) ? name : [agent, name].filter(Boolean).join(' ');
  return { attempt: `Attempt ${model.data.rollouts.attempt[i]}`, who: oneLine(who) };
}

/* Attempts are numbered by agent, so two agents have the same numbers. */
function bothNames(model, first, second) {
  const [a, b] = [rolloutName(model, first), rolloutName(model, second)];
  return a.who === b.who ? [a.attempt, b.attempt] : [a, b].map(({ attempt, who }) => `${attempt} of ${who}`);
}

const filtering = () => Object.keys(ROLLOUT_FILTERS).some((name) => current.place[name]);
const isListed = (model, i) => Object.entries(ROLLOUT_FILTERS).every(([name, [, of]]) => !current.place[name] || of(model, i) === current.place[name]);

/* The nodes on the way of the rollouts that are listed; null without a filter. */
function listedNodes(model) {
  if (!filtering()) return null;
  const found = new Set([0]);
  model.data.steps.forEach((steps, i) => { if (isListed(model, i)) steps.node.forEach((node) => found.add(node)); });
  return found;
}

function rolloutFilters(model) {
  const selects = Object.entries(ROLLOUT_FILTERS).map(([name, [label, of]]) => {
    const counts = new Map();
    model.data.rollouts.id.forEach((_, i) => counts.set(of(model, i), (counts.get(of(model, i)) || 0) + 1));
    if (counts.size < 2 && !current.place[name]) return null;
    const values = [...counts].sort((a, b) => natural.compare(a[0], b[0]));
    return element('select', { class: 'field', 'aria-label': label, onchange: (event) => go({ [name]: event.target.value || null, rollout: null, with: null }) },
      element('option', { value: '' }, `${label}: all`),
      values.map(([value, n]) => element('option', { value, selected: value === current.place[name] }, `${shortened(oneLine(value), 40) || '(none)'} (${n})`)));
  });
  return selects.some(Boolean) ? element('div', { class: 'filters' }, selects) : null;
}

function rolloutRow(model, number) {
  const { rollouts } = model.data;
  const { attempt, who } = rolloutName(model, number);
  return element('button', { class: 'row', type: 'button', 'aria-current': current.place.rollout === rollouts.id[number] ? 'true' : null, onclick: () => follow(number) },
    swatch(rollouts.score[number]),
    element('span', { class: 'label', dir: 'auto' }, attempt, element('small', {}, [who, oneLine(rolloutText(model, 'end_reason', number))].filter(Boolean).join(' · '))),
    element('span', { class: 'tail' }, [rollouts.score[number] === null ? null : score(rollouts.score[number]), plural(rollouts.step_count[number], 'step')].filter(Boolean).join(' · ')));
}

function rolloutsByScore(model) {
  const { rollouts } = model.data;
  return rollouts.id.map((_, number) => number).sort((a, b) => (rollouts.score[b] ?? -1) - (rollouts.score[a] ?? -1) || rollouts.attempt[a] - rollouts.attempt[b]);
}

function showRollouts(model, number) {
  const listed = rolloutsByScore(model).filter((i) => isListed(model, i));
  const all = model.data.rollouts.id.length;
  byId('side-body').replaceChildren(
    number >= 0 ? rolloutConversation(model, number) : element('p', { class: 'soft lead-in' }, 'Select a rollout to follow it through the tree, and then another to see both side by side.'),
    all === 1 ? '' : detail('Rollouts', listed.length < all ? `${listed.length} of ${plural(all, 'attempt')}` : plural(all, 'attempt'), rolloutFilters(model), element('div', { class: 'rows' }, listed.map((at) => rolloutRow(model, at)))));
  byId('side-body').scrollTop = 0;
}

/* The words of one rollout at a step; a node keeps those of the first rollout through it. */
function ownWords(model, number, step, name) {
  const own = model.data.steps[number];
  return own[name][step] < 0 ? textOf(model, name, own.node[step]) : model.data.texts[own[name][step]];
}

/* The turns of one rollout between two steps, in its own words. */
function rolloutTurns(model, number, from = 0, until = Infinity) {
  const { rollouts, steps, texts } = model.data;
  const turns = [];
  const remember = makeMemory();
  steps[number].node.forEach((i, step) => {
    if (i < 0) return;
    const observation = ownWords(model, number, step, 'observation');
    if (step >= from && step < until) turns.push(stepTurns(model, i, { observation, remember, from: step ? steps[number].node[step - 1] : -1, thought: ownWords(model, number, step, 'thought'), link: true }));
    else remember(observation, `at step ${step + 1}`);
  });
  const end = texts[rollouts.end_observation[number]];
  if (end && until === Infinity) turns.push(turn('environment', [model.calls ? 'At the end' : 'Environment, at the end'], clamped(remember(end, 'at the end'))));
  return turns.flat(2);
}

function rolloutConversation(model, number) {
  const { rollouts, texts } = model.data;
  const { attempt, who } = rolloutName(model, number);
  const instruction = turn('environment', ['Instruction'], clamped(written('div', '', texts[rollouts.instruction[number]])));
  const stop = rollouts.id.length === 1 ? null : element('button', { class: 'quiet stop', type: 'button', onclick: () => go({ rollout: null, with: null }) }, 'Stop following');
  const others = rolloutsByScore(model).filter((i) => i !== number);
  const beside = others.length ? element('select', { class: 'field', id: 'beside', 'aria-label': 'Show another rollout beside this one', onchange: (event) => go({ with: event.target.value || null }) },
    element('option', { value: '' }, 'Side by side with …'),
    others.map((i) => element('option', { value: rollouts.id[i] }, `${rolloutName(model, i).attempt} ${rolloutName(model, i).who}${rollouts.score[i] === null ? '' : `, ${score(rollouts.score[i])}`}`))) : null;
  return element('div', {},
    element('div', { class: 'node-head' }, stop, element('p', { class: 'action' }, attempt, who ? element('small', { class: 'soft' }, ` ${who}`) : null),
      element('dl', { class: 'stats' }, rollouts.score[number] === null ? null : term('score', swatch(rollouts.score[number]), score(rollouts.score[number])), term('end reason', oneLine(rolloutText(model, 'end_reason', number)))), beside),
    annotationBox(model, 'rollout', rollouts.id[number]), instruction, rolloutTurns(model, number));
}

function follow(number) {
  const { rollouts, steps } = current.model.data;
  const nodes = steps[number].node.filter((i) => i >= 0);
  go({ rollout: rollouts.id[number], with: null, node: nodes.length ? current.model.data.nodes.id[nodes.at(-1)] : null, pair: null, tab: 'rollouts' });
}

/* Two rollouts: the steps that they share, and what each did after that. */
function showSideBySide(model, first, second) {
  const { rollouts, steps } = model.data;
  const [a, b] = [steps[first].node, steps[second].node];
  let shared = 0;
  while (shared < a.length && shared < b.length && a[shared] === b[shared] && a[shared] >= 0) shared += 1;
  const column = (number) => {
    const { attempt, who } = rolloutName(model, number);
    const turns = rolloutTurns(model, number, shared);
    return element('section', {}, element('h3', {}, element('span', {}, attempt, element('small', { class: 'soft' }, ` ${who}`)), element('span', { class: 'number' }, swatch(rollouts.score[number]), score(rollouts.score[number]))),
      turns.length ? turns : element('p', { class: 'soft' }, 'Ends here.'));
  };
  const same = shared ? element('details', { class: 'shared' }, element('summary', {}, `The same ${plural(shared, 'step')} before`), rolloutTurns(model, first, 0, shared)) : null;
  const body = element('div', { class: 'dialog-body' }, same, element('div', { class: 'sides' }, column(first), column(second)));
  const names = bothNames(model, first, second);
  addSideTabs(body, [first, second].map((number, side) => `${names[side]}${rollouts.score[number] === null ? '' : `, ${score(rollouts.score[number])}`}`));
  openDialog(`${names[0]}, ${names[1].replace('Attempt', 'attempt')}`, shared ? `they diverge after step ${shared}` : 'different from the first step on', [],
    body);
}
