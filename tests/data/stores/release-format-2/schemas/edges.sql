CREATE TABLE edges (
    tree_id           VARCHAR NOT NULL,
    parent_id         VARCHAR NOT NULL,
    child_id          VARCHAR NOT NULL PRIMARY KEY,
    action            VARCHAR NOT NULL,
    traversals        BIGINT NOT NULL CHECK (traversals >= 1),
    scored_traversals BIGINT NOT NULL CHECK (scored_traversals >= 0),
    score_sum         DOUBLE NOT NULL CHECK (score_sum >= 0)
);
COMMENT ON TABLE  edges                   IS 'From parent to child. Written by build.';
COMMENT ON COLUMN edges.tree_id           IS 'The tree.';
COMMENT ON COLUMN edges.parent_id         IS 'The node that the edge leaves.';
COMMENT ON COLUMN edges.child_id          IS 'The node that it reaches.';
COMMENT ON COLUMN edges.action            IS 'The child''s action.';
COMMENT ON COLUMN edges.traversals        IS 'Rollouts that took the edge.';
COMMENT ON COLUMN edges.scored_traversals IS 'Those of them that have a score.';
COMMENT ON COLUMN edges.score_sum         IS 'Sum of their scores.';
