CREATE TABLE evaluations (
    environment VARCHAR NOT NULL,
    split       VARCHAR NOT NULL,
    model       VARCHAR NOT NULL,
    best_of     INTEGER NOT NULL CHECK (best_of >= 1),
    metric      VARCHAR NOT NULL CHECK (metric IN ('reward', 'success', 'steps', 'invalid_actions')),
    value       DOUBLE NOT NULL,
    low         DOUBLE NOT NULL,
    high        DOUBLE NOT NULL,
    tasks       BIGINT NOT NULL CHECK (tasks >= 1),
    seeds       BIGINT NOT NULL CHECK (seeds >= 1),
    PRIMARY KEY (environment, split, model, best_of, metric)
);
COMMENT ON TABLE  evaluations             IS 'A model''s results in an environment. Written by evaluate, from the rollouts of the same store.';
COMMENT ON COLUMN evaluations.environment IS 'The environment.';
COMMENT ON COLUMN evaluations.split       IS 'The split of the tasks.';
COMMENT ON COLUMN evaluations.model       IS 'The model, as its rollouts name it, or their agent if they name none.';
COMMENT ON COLUMN evaluations.best_of     IS 'Attempts per task, of which the one with the best score counts.';
COMMENT ON COLUMN evaluations.metric      IS 'reward: the score, or 0 without one; success: whether the task was solved; steps: actions taken; invalid_actions: actions that the environment refused.';
COMMENT ON COLUMN evaluations.value       IS 'Mean over tasks of the mean over seeds.';
COMMENT ON COLUMN evaluations.low         IS 'Lower end of the 95 % interval over tasks, for this trained model.';
COMMENT ON COLUMN evaluations.high        IS 'Upper end of that interval.';
COMMENT ON COLUMN evaluations.tasks       IS 'Number of tasks.';
COMMENT ON COLUMN evaluations.seeds       IS 'Number of sampling seeds.';
