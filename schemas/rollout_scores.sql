CREATE TABLE rollout_scores (
    rollout_id VARCHAR NOT NULL,
    tree_id    VARCHAR NOT NULL,
    source     VARCHAR NOT NULL,
    score      DOUBLE  NOT NULL CHECK (score >= 0 AND score <= 1),
    success    BOOLEAN NOT NULL,
    reason     VARCHAR,
    run        INTEGER NOT NULL CHECK (run >= 0),
    overrides  BOOLEAN NOT NULL,
    PRIMARY KEY (rollout_id, source)
);
COMMENT ON TABLE  rollout_scores            IS 'A score that was given to a rollout after its import, one row per source. Written by score.';
COMMENT ON COLUMN rollout_scores.rollout_id IS 'The rollout.';
COMMENT ON COLUMN rollout_scores.tree_id    IS 'Its tree.';
COMMENT ON COLUMN rollout_scores.source     IS 'Who gave it: the name of a table, module:function, judge:model, or annotations.';
COMMENT ON COLUMN rollout_scores.score      IS 'The score, from 0 to 1.';
COMMENT ON COLUMN rollout_scores.success    IS 'Whether the task was solved: as the source says, else whether the score is 1.';
COMMENT ON COLUMN rollout_scores.reason     IS 'The reason that the source gave; NULL if none.';
COMMENT ON COLUMN rollout_scores.run        IS 'The order in which sources were used, from 0: the latest counts (view effective_scores).';
COMMENT ON COLUMN rollout_scores.overrides  IS 'Whether it counts even if the log or environment gave a score.';
