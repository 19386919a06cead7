CREATE TABLE annotations (
    annotation_id VARCHAR NOT NULL PRIMARY KEY,
    tree_id       VARCHAR NOT NULL,
    subject       VARCHAR NOT NULL CHECK (subject IN ('node', 'rollout', 'pair')),
    subject_id    VARCHAR NOT NULL,
    label         VARCHAR NOT NULL CHECK (label IN ('', 'good', 'bad', 'unsure')),
    note          VARCHAR NOT NULL,
    author        VARCHAR NOT NULL,
    changed_at    TIMESTAMP NOT NULL
);
COMMENT ON TABLE  annotations               IS 'A person''s label or note on a node, a rollout or a pair. Written by view --serve --annotate.';
COMMENT ON COLUMN annotations.annotation_id IS 'Content hash of subject, subject_id and author: each person has one annotation per subject.';
COMMENT ON COLUMN annotations.tree_id       IS 'The tree of the subject.';
COMMENT ON COLUMN annotations.subject       IS 'node, rollout or pair.';
COMMENT ON COLUMN annotations.subject_id    IS 'Its node_id, rollout_id or pair_id.';
COMMENT ON COLUMN annotations.label         IS 'good, bad, unsure, or empty for a note only.';
COMMENT ON COLUMN annotations.note          IS 'The note, as free text.';
COMMENT ON COLUMN annotations.author        IS 'The person''s name, as given to --annotate.';
COMMENT ON COLUMN annotations.changed_at    IS 'When it was last changed, in UTC.';
