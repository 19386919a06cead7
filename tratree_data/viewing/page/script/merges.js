/* Merges: steps that became one node although their observations differ, the least similar first. */

function mergesOf(model) {
  if (model.merges) return model.merges;
  const found = [];
  model.data.steps.forEach((steps, rollout) => steps.node.forEach((node, step) => {
    if (node >= 0 && steps.observation[step] >= 0) found.push({ node, rollout, step, similarity: steps.similarity[step], observation: model.data.texts[steps.observation[step]] });
  }));
  model.merges = found.sort((a, b) => a.similarity - b.similarity || a.rollout - b.rollout || a.step - b.step);
  return model.merges;
}

function mergeBeside(model, merge) {
  const [first, second] = differingWords(textOf(model, 'observation', merge.node), merge.observation);
  return element('div', { class: 'merge' },
    element('p', {}, `Attempt ${model.data.rollouts.attempt[merge.rollout]}, `, word('cosine'), ' ', element('b', { class: 'number' }, merge.similarity.toFixed(3))),
    element('div', { class: 'beside' },
      element('div', {}, element('h3', {}, 'Observation of the node'), clampedParts(first)),
      element('div', {}, element('h3', {}, 'Observation of this step'), clampedParts(second))));
}

function showMerges(model, i) {
  const all = mergesOf(model);
  const steps = model.data.steps.reduce((sum, own) => sum + own.node.length, 0);
  const rows = all.slice(0, 200).map((merge) => element('button', { class: 'row', type: 'button', 'aria-current': merge.node === i ? 'true' : null, onclick: () => go({ node: model.data.nodes.id[merge.node], tab: 'merges' }) },
    swatch(meanOf(model, merge.node)), element('span', { class: 'label code', dir: 'auto' }, briefOf(model, merge.node)),
    element('span', { class: 'tail' }, `step ${model.depth[merge.node]} · attempt ${model.data.rollouts.attempt[merge.rollout]} · ${merge.similarity.toFixed(3)}`)));
  const here = all.filter((merge) => merge.node === i);
  const body = byId('side-body');
  body.replaceChildren(
    element('p', { class: 'soft lead-in' }, all.length
      ? `${count(all.length)} of ${plural(steps, 'step')} joined a node with another text, the least similar first. Their nodes have a dotted border.`
      : 'All steps that share a node have equal observations.'),
    ...(here.length ? [element('div', { class: 'decision' }, here.slice(0, 20).map((merge) => mergeBeside(model, merge)))] : []),
    element('div', { class: 'rows' }, rows));
  body.scrollTop = 0;
}

/* The steps that became this node: those with equal text are counted, the others are shown with both texts. */
function mergesAt(model, i) {
  const own = mergesOf(model).filter((merge) => merge.node === i);
  const steps = model.data.steps.reduce((sum, { node }) => sum + node.filter((at) => at === i).length, 0);
  if (steps < 2) return null;
  const summary = `${plural(steps, 'step')}${own.length ? `, ${own.length} with another text` : ', all with equal text'}`;
  return detail('Merged steps', summary, ...own.slice(0, 20).map((merge) => mergeBeside(model, merge)), own.length > 20 ? element('p', { class: 'soft' }, `and ${own.length - 20} more`) : null);
}
