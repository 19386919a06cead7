CREATE TABLE states (
    tree_id       VARCHAR NOT NULL,
    history       VARCHAR NOT NULL,
    state_id      VARCHAR NOT NULL PRIMARY KEY,
    observation   VARCHAR NOT NULL,
    visits        BIGINT NOT NULL CHECK (visits > 0),
    rollouts      BIGINT NOT NULL CHECK (rollouts > 0),
    scored_visits BIGINT NOT NULL CHECK (scored_visits >= 0),
    mean          DOUBLE,
    value         DOUBLE,
    actions       BIGINT NOT NULL CHECK (actions > 0),
    ends          BIGINT NOT NULL CHECK (ends >= 0),
    solved_ends   BIGINT NOT NULL CHECK (solved_ends >= 0),
    distance      INTEGER CHECK (distance > 0)
);
COMMENT ON TABLE  states               IS 'Equal observations of a task, regardless of what came before (history 0), or after the same last steps. Written by states.';
COMMENT ON COLUMN states.tree_id       IS 'The task''s tree.';
COMMENT ON COLUMN states.history       IS 'How many steps before must be the same too: 0, 1, 2, …, or all.';
COMMENT ON COLUMN states.state_id      IS 'Hash of tree, history and what is the same.';
COMMENT ON COLUMN states.observation   IS 'The observation of its first step.';
COMMENT ON COLUMN states.visits        IS 'Steps in this state.';
COMMENT ON COLUMN states.rollouts      IS 'Rollouts that were in it at least once.';
COMMENT ON COLUMN states.scored_visits IS 'Those of its steps whose rollout has a score.';
COMMENT ON COLUMN states.mean          IS 'Mean score over these steps; NULL without any.';
COMMENT ON COLUMN states.value         IS 'Mean discounted return over these steps: what the score is worth from here; NULL without any.';
COMMENT ON COLUMN states.actions       IS 'Different actions that were taken in it.';
COMMENT ON COLUMN states.ends          IS 'Steps in it after which the rollout ended.';
COMMENT ON COLUMN states.solved_ends   IS 'Those of the ends at which the task was solved.';
COMMENT ON COLUMN states.distance      IS 'Fewest transitions of any rollouts from here to a solved end; NULL if none leads there.';
