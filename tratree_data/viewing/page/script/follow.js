/* A served dataset may grow: the list of tasks is updated by itself, and an open tree when its reader asks for it. */

const LOOK_EVERY = 2500;

async function look() {
  if (document.hidden) return;
  let now = null;
  try { now = await ask('api/status'); } catch (error) { showNews(error instanceof TypeError ? 'The server has stopped.' : error.message); return; }
  if (now.version === current.overview.version) { hideNews(); return; }
  const busy = current.model || byId('help').open || document.activeElement?.matches('input, select');
  if (!busy) { await renew(); return; }
  const more = now.rollouts - current.overview.whole.rollouts;
  showNews(more > 0 ? plural(more, 'new rollout') : 'The dataset has changed', element('button', { type: 'button', onclick: renew }, 'Show'));
}

const showNews = (text, ...more) => { const news = byId('news'); if (news.dataset.text !== text) { news.dataset.text = text; news.replaceChildren(text, ' ', ...more); } news.hidden = false; };
const hideNews = () => { byId('news').hidden = true; byId('news').dataset.text = ''; };

/* Loads everything again and stays where the reader is. */
async function renew() {
  const rollouts = current.overview.whole.rollouts;
  const scrolled = ['content', 'side-body'].map((id) => [id, byId(id)?.scrollTop || 0]);
  const before = current.model;
  try {
    prepareOverview(await loadOverview());
    kept.clear();
    if (before) {
      const model = await loadTree(current.place.tree);
      if (current.model !== before) return;
      keepFolds(before, model);
      current.model = model;
      showTree(model, placeFromAddress(), true, true);
    } else showOverview(current.overview);
  } catch (error) { message(error.message); return; }
  for (const [id, top] of scrolled) if (byId(id)) byId(id).scrollTop = top;
  hideNews();
  const more = current.overview.whole.rollouts - rollouts;
  announce(more > 0 ? plural(more, 'new rollout') : 'The dataset has changed');
}

/* Nodes keep their ids from one build to the next. */
function keepFolds(before, model) {
  for (const name of ['folded', 'opened']) {
    model[name] = new Set([...before[name]].map((i) => model.numberOf.get(before.data.nodes.id[i])).filter((i) => i !== undefined));
  }
}

function watchForChanges() {
  if (settings.served) setInterval(look, LOOK_EVERY);
}
