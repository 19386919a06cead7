CREATE TABLE step_credits (
    tree_id      VARCHAR NOT NULL,
    rollout_id   VARCHAR NOT NULL,
    step         INTEGER NOT NULL CHECK (step >= 0),
    method       VARCHAR NOT NULL,
    state_id     VARCHAR,
    group_size   BIGINT NOT NULL CHECK (group_size >= 0),
    return_to_go DOUBLE NOT NULL,
    advantage    DOUBLE,
    weight       DOUBLE CHECK (weight >= 0),
    PRIMARY KEY (rollout_id, step, method)
);
COMMENT ON TABLE  step_credits              IS 'What a step of a scored rollout contributed, by one or several methods (docs/states.md). Written by states.';
COMMENT ON COLUMN step_credits.tree_id      IS 'The task''s tree.';
COMMENT ON COLUMN step_credits.rollout_id   IS 'The rollout.';
COMMENT ON COLUMN step_credits.step         IS 'Position in the rollout, from 0.';
COMMENT ON COLUMN step_credits.method       IS 'The method with its parameters, such as gigpo(history=0,discount=0.95,omega=1).';
COMMENT ON COLUMN step_credits.state_id     IS 'The state in which the step was compared; NULL if the method compares none, or if the observation is uninformative.';
COMMENT ON COLUMN step_credits.group_size   IS 'Scored steps in that state; 0 without one.';
COMMENT ON COLUMN step_credits.return_to_go IS 'The rollout''s score, discounted by the steps that were left.';
COMMENT ON COLUMN step_credits.advantage    IS 'The method''s advantage; NULL if it defines none.';
COMMENT ON COLUMN step_credits.weight       IS 'The method''s weight for weighted imitation; NULL if it defines none.';
