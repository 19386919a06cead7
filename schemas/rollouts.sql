CREATE TABLE rollouts (
    rollout_id          VARCHAR NOT NULL PRIMARY KEY,
    tree_id             VARCHAR NOT NULL,
    environment         VARCHAR NOT NULL,
    environment_version VARCHAR NOT NULL,
    split               VARCHAR NOT NULL,
    task_id             VARCHAR NOT NULL,
    attempt             INTEGER NOT NULL CHECK (attempt >= 0),
    prompt              VARCHAR NOT NULL,
    instruction         VARCHAR NOT NULL,
    agent               VARCHAR NOT NULL,
    model               VARCHAR,
    sampling            VARCHAR,
    branch_node_id      VARCHAR,
    score               DOUBLE CHECK (score >= 0 AND score <= 1),
    success             BOOLEAN,
    end_reason          VARCHAR NOT NULL,
    end_observation     VARCHAR NOT NULL,
    step_count          INTEGER NOT NULL CHECK (step_count >= 0),
    seconds             DOUBLE,
    prompt_tokens       BIGINT,
    completion_tokens   BIGINT,
    source              VARCHAR NOT NULL,
    trajectory_id       VARCHAR,
    tools               VARCHAR,
    end_messages        STRUCT(role VARCHAR, content VARCHAR, tool_call_id VARCHAR, name VARCHAR)[],
    metadata            VARCHAR,
    duplicate_of        VARCHAR,
    license             VARCHAR,
    source_url          VARCHAR,
    attribution         VARCHAR,
    format              VARCHAR,
    content_id          VARCHAR
);
COMMENT ON TABLE  rollouts                     IS 'One attempt of an agent at a task, success or failure. Written by explore and import.';
COMMENT ON COLUMN rollouts.rollout_id          IS 'Content hash of the attempt.';
COMMENT ON COLUMN rollouts.tree_id             IS 'The tree this rollout belongs to: content hash of (environment, task_id).';
COMMENT ON COLUMN rollouts.environment         IS 'The environment, e.g. webshop, alfworld, scienceworld.';
COMMENT ON COLUMN rollouts.environment_version IS 'Version of the environment and of its grammar or data; empty if the log does not say.';
COMMENT ON COLUMN rollouts.split               IS 'The split of tasks that the task belongs to: train, dev, test, …';
COMMENT ON COLUMN rollouts.task_id             IS 'The task, unique within the environment.';
COMMENT ON COLUMN rollouts.attempt             IS 'Number of the attempt at the task, from 0.';
COMMENT ON COLUMN rollouts.prompt              IS 'The environment''s general instructions to the agent; empty if the log has none.';
COMMENT ON COLUMN rollouts.instruction         IS 'What this task asks for.';
COMMENT ON COLUMN rollouts.agent               IS 'The agent: scripted, expert, openai, vllm, transformers, or the name in the log.';
COMMENT ON COLUMN rollouts.model               IS 'The model behind the agent, with its adapter or revision.';
COMMENT ON COLUMN rollouts.sampling            IS 'JSON: temperature, top_p, seed and everything else that decided how the model sampled.';
COMMENT ON COLUMN rollouts.branch_node_id      IS 'The node whose path was replayed before the agent took over; NULL if it acted from the start.';
COMMENT ON COLUMN rollouts.score               IS 'G(e), the environment''s final score from 0 to 1; NULL if it gave none.';
COMMENT ON COLUMN rollouts.success             IS 'Whether the task was solved, as the environment or log reports it; NULL if it does not.';
COMMENT ON COLUMN rollouts.end_reason          IS 'Why it ended: done, max_steps, agent_stopped, context_overflow, invalid_actions, agent_error, environment_error, time_out, server_unavailable, unknown.';
COMMENT ON COLUMN rollouts.end_observation     IS 'What the agent would have seen after its last action; empty if nothing.';
COMMENT ON COLUMN rollouts.step_count          IS 'Number of its rows in steps.';
COMMENT ON COLUMN rollouts.seconds             IS 'Wall-clock time the attempt took.';
COMMENT ON COLUMN rollouts.prompt_tokens       IS 'Tokens read by the model over all steps.';
COMMENT ON COLUMN rollouts.completion_tokens   IS 'Tokens written by the model over all steps.';
COMMENT ON COLUMN rollouts.source              IS 'Where the row comes from: explore, or the file and record of the imported log.';
COMMENT ON COLUMN rollouts.trajectory_id       IS 'The log''s own id of the attempt; NULL if it has none.';
COMMENT ON COLUMN rollouts.tools               IS 'JSON: the tools available to the agent, as OpenAI function schemas; NULL if there were none.';
COMMENT ON COLUMN rollouts.end_messages        IS 'The messages after the last turn; NULL if they are just end_observation as one user message.';
COMMENT ON COLUMN rollouts.metadata            IS 'JSON: everything else that the log contains.';
COMMENT ON COLUMN rollouts.duplicate_of        IS 'The rollout_id of the same run in another format; build leaves such rows out. NULL if it is the only one.';
COMMENT ON COLUMN rollouts.license             IS 'The licence of the log, as given at its import.';
COMMENT ON COLUMN rollouts.source_url          IS 'Where the log was published, as given at its import.';
COMMENT ON COLUMN rollouts.attribution         IS 'Whom to credit for the log, as given at its import.';
COMMENT ON COLUMN rollouts.format              IS 'The format of the imported log; NULL if it was explored.';
COMMENT ON COLUMN rollouts.content_id          IS 'Hash of actions and observations without white space: equal for the same run in another format. NULL if it was explored.';
