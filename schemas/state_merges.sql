CREATE TABLE state_merges (
    tree_id      VARCHAR NOT NULL,
    merge_id     VARCHAR NOT NULL PRIMARY KEY,
    similarity   FLOAT NOT NULL CHECK (similarity <= 1),
    observation  VARCHAR NOT NULL,
    joined       VARCHAR NOT NULL,
    visits       BIGINT NOT NULL CHECK (visits > 0),
    judged       BIGINT NOT NULL CHECK (judged >= 0),
    contradicted BIGINT NOT NULL CHECK (contradicted >= 0)
);
COMMENT ON TABLE  state_merges              IS 'Observations of a task that count as an older one in `states`, because they are similar to it. Written by states.';
COMMENT ON COLUMN state_merges.tree_id      IS 'The task''s tree.';
COMMENT ON COLUMN state_merges.merge_id     IS 'Hash of tree, observation and joined, as compared.';
COMMENT ON COLUMN state_merges.similarity   IS 'Cosine of both, as compared.';
COMMENT ON COLUMN state_merges.observation  IS 'The observation, as its first step has it.';
COMMENT ON COLUMN state_merges.joined       IS 'The older observation that it counts as.';
COMMENT ON COLUMN state_merges.visits       IS 'Steps that saw the observation.';
COMMENT ON COLUMN state_merges.judged       IS 'Actions that attempts took after both and that led on from both: what they led to judges the merge.';
COMMENT ON COLUMN state_merges.contradicted IS 'Those of them that never led to the same observation.';
