CREATE TABLE dropped (
    stage   VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    reason  VARCHAR NOT NULL,
    detail  VARCHAR NOT NULL
);
COMMENT ON TABLE  dropped         IS 'What a stage left out, and why. Each stage replaces its own rows.';
COMMENT ON COLUMN dropped.stage   IS 'The stage that left it out.';
COMMENT ON COLUMN dropped.subject IS 'What was left out: a line of a file, a rollout, a node, a pair of nodes.';
COMMENT ON COLUMN dropped.reason  IS 'A short reason that can be counted, such as too_long.';
COMMENT ON COLUMN dropped.detail  IS 'What exactly was wrong.';
