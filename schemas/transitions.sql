CREATE TABLE transitions (
    tree_id       VARCHAR NOT NULL,
    history       VARCHAR NOT NULL,
    transition_id VARCHAR NOT NULL PRIMARY KEY,
    state_id      VARCHAR NOT NULL,
    action        VARCHAR NOT NULL,
    next_state_id VARCHAR,
    visits        BIGINT NOT NULL CHECK (visits > 0),
    scored_visits BIGINT NOT NULL CHECK (scored_visits >= 0),
    mean          DOUBLE,
    advantage     DOUBLE,
    ends          BIGINT NOT NULL CHECK (ends >= 0),
    solved_ends   BIGINT NOT NULL CHECK (solved_ends >= 0)
);
COMMENT ON TABLE  transitions               IS 'An action that led from one state to another, or to an end. Written by states.';
COMMENT ON COLUMN transitions.tree_id       IS 'The task''s tree.';
COMMENT ON COLUMN transitions.history       IS 'The history of both states.';
COMMENT ON COLUMN transitions.transition_id IS 'Hash of state, action and next state.';
COMMENT ON COLUMN transitions.state_id      IS 'Where the action was taken.';
COMMENT ON COLUMN transitions.action        IS 'The action, as its first step has it.';
COMMENT ON COLUMN transitions.next_state_id IS 'Where it led; NULL if the rollout ended, or if the next observation is uninformative.';
COMMENT ON COLUMN transitions.visits        IS 'Steps that took it.';
COMMENT ON COLUMN transitions.scored_visits IS 'Those of its steps whose rollout has a score.';
COMMENT ON COLUMN transitions.mean          IS 'Mean score over these steps; NULL without any.';
COMMENT ON COLUMN transitions.advantage     IS 'Mean discounted return over these steps minus the value of the state; NULL without any.';
COMMENT ON COLUMN transitions.ends          IS 'Steps after which the rollout ended.';
COMMENT ON COLUMN transitions.solved_ends   IS 'Those of the ends at which the task was solved.';
