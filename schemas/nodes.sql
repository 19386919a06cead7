CREATE TABLE nodes (
    tree_id       VARCHAR NOT NULL,
    node_id       VARCHAR NOT NULL PRIMARY KEY,
    parent_id     VARCHAR,
    depth         INTEGER NOT NULL CHECK (depth >= 0),
    state         INTEGER NOT NULL CHECK (state >= 0),
    observation   VARCHAR NOT NULL,
    thought       VARCHAR NOT NULL,
    action        VARCHAR,
    visits        BIGINT NOT NULL CHECK (visits >= 0),
    scored_visits BIGINT NOT NULL CHECK (scored_visits >= 0),
    score_sum     DOUBLE NOT NULL CHECK (score_sum >= 0),
    ends          BIGINT NOT NULL CHECK (ends >= 0),
    scored_ends   BIGINT NOT NULL CHECK (scored_ends >= 0),
    end_score_sum DOUBLE NOT NULL CHECK (end_score_sum >= 0),
    free_visits        BIGINT CHECK (free_visits >= 0),
    free_score_sum     DOUBLE CHECK (free_score_sum >= 0),
    free_score_squares DOUBLE CHECK (free_score_squares >= 0)
);
COMMENT ON TABLE  nodes               IS 'A merged execution step of a trajectory tree. Written by build.';
COMMENT ON COLUMN nodes.tree_id       IS 'The tree: content hash of (environment, task_id).';
COMMENT ON COLUMN nodes.node_id       IS 'Content hash of (parent_id, observation, action); the root''s is the hash of tree_id.';
COMMENT ON COLUMN nodes.parent_id     IS 'The node before; NULL for the root.';
COMMENT ON COLUMN nodes.depth         IS 'Steps from the root, which has 0.';
COMMENT ON COLUMN nodes.state         IS 'Which state of its parent''s outcome it belongs to, from 0 in order of appearance. Only siblings of one state are alternatives of one decision.';
COMMENT ON COLUMN nodes.observation   IS 'What the first rollout through the node saw before acting; the instruction for the root.';
COMMENT ON COLUMN nodes.thought       IS 'What the first rollout through the node thought.';
COMMENT ON COLUMN nodes.action        IS 'The action that all rollouts through the node took; NULL for the root.';
COMMENT ON COLUMN nodes.visits        IS 'Rollouts that pass through the node.';
COMMENT ON COLUMN nodes.scored_visits IS 'Those of them that have a score.';
COMMENT ON COLUMN nodes.score_sum     IS 'Sum of their scores.';
COMMENT ON COLUMN nodes.ends          IS 'Rollouts that end at the node, inner nodes included.';
COMMENT ON COLUMN nodes.scored_ends   IS 'Those of them that have a score.';
COMMENT ON COLUMN nodes.end_score_sum IS 'Sum of their scores.';
COMMENT ON COLUMN nodes.free_visits        IS 'Scored rollouts that chose for themselves what came after the node: all but those that only repeated it to branch further down. NULL in older files, as are the next two.';
COMMENT ON COLUMN nodes.free_score_sum     IS 'Sum of their scores: what the node leads to, undistorted by where attempts were branched.';
COMMENT ON COLUMN nodes.free_score_squares IS 'Sum of the squares of their scores, for the noise of graded scores.';
