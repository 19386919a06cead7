CREATE TABLE step_nodes (
    tree_id     VARCHAR NOT NULL,
    rollout_id  VARCHAR NOT NULL,
    step        INTEGER NOT NULL CHECK (step >= 0),
    node_id     VARCHAR NOT NULL,
    similarity  FLOAT NOT NULL CHECK (similarity <= 1),
    merged_by   VARCHAR CHECK (merged_by IN ('verbatim', 'normalised', 'similarity')),
    observation VARCHAR,
    thought     VARCHAR,
    action      VARCHAR,
    PRIMARY KEY (rollout_id, step)
);
COMMENT ON TABLE  step_nodes             IS 'Where each step landed in its tree; with nodes, every rollout can be rebuilt from it. Written by build.';
COMMENT ON COLUMN step_nodes.tree_id     IS 'The tree.';
COMMENT ON COLUMN step_nodes.rollout_id  IS 'The rollout the step belongs to.';
COMMENT ON COLUMN step_nodes.step        IS 'Position in the rollout, from 0.';
COMMENT ON COLUMN step_nodes.node_id     IS 'The node that the step was merged into, or founded.';
COMMENT ON COLUMN step_nodes.similarity  IS 'Cosine of the step''s observation to the node''s; 1 when the compared texts are equal.';
COMMENT ON COLUMN step_nodes.merged_by   IS 'What made the step''s observation the node''s: verbatim (equal texts), normalised (equal as compared), similarity. NULL in older files.';
COMMENT ON COLUMN step_nodes.observation IS 'The step''s own observation where it differs from the node''s, else NULL.';
COMMENT ON COLUMN step_nodes.thought     IS 'The step''s own thought where it differs from the node''s, else NULL.';
COMMENT ON COLUMN step_nodes.action      IS 'The step''s own action where it differs from the node''s, else NULL.';
