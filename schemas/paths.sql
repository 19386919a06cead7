CREATE TABLE paths (
    path_id      VARCHAR NOT NULL PRIMARY KEY,
    tree_id      VARCHAR NOT NULL,
    rank         INTEGER NOT NULL CHECK (rank >= 1),
    node_ids     VARCHAR[] NOT NULL,
    value        DOUBLE,
    support      BIGINT NOT NULL CHECK (support >= 1),
    rollout_ids  VARCHAR[] NOT NULL
);
COMMENT ON TABLE  paths              IS 'An extracted path: e* or one of the next best. Written by search; its replay is in replays.';
COMMENT ON COLUMN paths.path_id      IS 'Content hash of node_ids.';
COMMENT ON COLUMN paths.tree_id      IS 'The tree.';
COMMENT ON COLUMN paths.rank         IS '1 for e*, then the next best by value, support, shortness.';
COMMENT ON COLUMN paths.node_ids     IS 'The nodes from the root''s child to the end.';
COMMENT ON COLUMN paths.value        IS 'Mean score of the rollouts that end where the path ends.';
COMMENT ON COLUMN paths.support      IS 'Rollouts with a score that end where the path ends.';
COMMENT ON COLUMN paths.rollout_ids  IS 'Those rollouts.';
