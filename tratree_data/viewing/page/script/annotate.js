/* Annotations: what people said about a node, a rollout or a pair. They can be changed where the page is served with --annotate. */

const LABELS = { good: '✓ good', bad: '✗ bad', unsure: '? unsure' };

const annotationsOf = (model, subject, id) => model.data.annotations.filter((known) => known.subject === subject && known.subject_id === id);

async function saveAnnotation(model, subject, id, label, note) {
  const answer = await fetch('api/annotations', { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Tratree-Token': settings.token }, body: JSON.stringify({ subject, subject_id: id, label, note }) });
  const saved = await answer.json();
  if (!answer.ok) throw new Error(saved.error || `The server responded with status ${answer.status}.`);
  model.data.annotations = model.data.annotations.filter((known) => !(known.subject === subject && known.subject_id === id && known.author === settings.author));
  if (saved.label || saved.note) model.data.annotations.push(saved);
}

/* What others said, and a form for what you say. */
function annotationBox(model, subject, id) {
  const all = annotationsOf(model, subject, id);
  const mine = all.find((known) => known.author === settings.author);
  const others = all.filter((known) => known !== mine || !settings.annotate);
  const shown = others.map((known) => element('p', { class: 'annotation' }, element('b', {}, LABELS[known.label] || 'note'), known.note ? [' ', written('span', '', known.note)] : null, element('small', { class: 'soft' }, ` ${known.author}`)));
  if (!settings.annotate) return shown.length ? element('div', { class: 'annotations' }, shown) : null;
  const note = element('input', { class: 'field', type: 'text', maxlength: '10000', placeholder: 'Note', 'aria-label': `Note about this ${subject}`, value: mine ? mine.note : '' });
  const state = element('small', { class: 'soft', role: 'status' });
  let label = mine ? mine.label : '';
  let saving = Promise.resolve();
  const save = () => {
    state.textContent = 'Saving …';
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.label === label));
    const [said, words] = [label, note.value];
    saving = saving.then(() => saveAnnotation(model, subject, id, said, words)).then(() => { state.textContent = said === label && words === note.value ? 'Saved' : 'Saving …'; }, (error) => { state.textContent = error.message; });
  };
  const buttons = Object.entries(LABELS).map(([name, text]) => element('button', { type: 'button', 'data-label': name, 'aria-pressed': String(name === label), onclick: () => { label = label === name ? '' : name; save(); } }, text));
  note.addEventListener('change', save);
  return element('div', { class: 'annotations' }, shown, element('div', { class: 'annotate' }, element('div', { class: 'choices', role: 'group', 'aria-label': `Label of this ${subject}` }, buttons), note, state));
}
