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
COMMENT ON TABLE  evaluations             IS 'How a model fares in an environment. Written by evaluate, from the rollouts of the same store.';
COMMENT ON COLUMN evaluations.environment IS 'What the model acted in.';
COMMENT ON COLUMN evaluations.split       IS 'The split of the tasks.';
COMMENT ON COLUMN evaluations.model       IS 'The model, as its rollouts name it; the agent where it has none.';
COMMENT ON COLUMN evaluations.best_of     IS 'How many attempts a task had, of which the best by score counts.';
COMMENT ON COLUMN evaluations.metric      IS 'reward: the score, 0 where there was none; success: whether the task was solved; steps: actions taken; invalid_actions: actions that the environment refused.';
COMMENT ON COLUMN evaluations.value       IS 'Mean over tasks of the mean over seeds.';
COMMENT ON COLUMN evaluations.low         IS 'Lower end of the 95 % interval over tasks, for this trained model.';
COMMENT ON COLUMN evaluations.high        IS 'Upper end of that interval.';
COMMENT ON COLUMN evaluations.tasks       IS 'Number of tasks.';
COMMENT ON COLUMN evaluations.seeds       IS 'Number of sampling seeds.';
