CREATE TABLE steps (
    rollout_id  VARCHAR NOT NULL,
    step        INTEGER NOT NULL CHECK (step >= 0),
    observation VARCHAR NOT NULL,
    thought     VARCHAR NOT NULL,
    action      VARCHAR NOT NULL,
    response    VARCHAR,
    reward      DOUBLE,
    valid       BOOLEAN,
    logprob     DOUBLE,
    input_messages STRUCT(role VARCHAR, content VARCHAR, tool_call_id VARCHAR, name VARCHAR)[],
    output_message STRUCT(content VARCHAR, reasoning VARCHAR, tool_calls STRUCT(id VARCHAR, name VARCHAR, arguments VARCHAR)[]),
    metadata       VARCHAR,
    PRIMARY KEY (rollout_id, step)
);
COMMENT ON TABLE  steps             IS 'One execution step (o, th, a) of a rollout. Written by explore and import.';
COMMENT ON COLUMN steps.rollout_id  IS 'The rollout the step belongs to.';
COMMENT ON COLUMN steps.step        IS 'Position in the rollout, from 0.';
COMMENT ON COLUMN steps.observation IS 'What the agent saw before it acted.';
COMMENT ON COLUMN steps.thought     IS 'What the agent thought before it acted; empty if nothing.';
COMMENT ON COLUMN steps.action      IS 'What the agent did, exactly as the environment received it.';
COMMENT ON COLUMN steps.response    IS 'The raw text that thought and action were parsed from; NULL if there was none.';
COMMENT ON COLUMN steps.reward      IS 'Reward the environment gave for this action; NULL if it gave none.';
COMMENT ON COLUMN steps.valid       IS 'Whether the environment accepted the action; NULL if it does not say.';
COMMENT ON COLUMN steps.logprob     IS 'Log-probability of the response under the model; NULL if unknown.';
COMMENT ON COLUMN steps.input_messages IS 'The messages since the agent''s previous turn; NULL if they are just observation as one user message.';
COMMENT ON COLUMN steps.output_message IS 'The agent''s own message, arguments as JSON text; NULL if it is just response or, without one, thought and action.';
COMMENT ON COLUMN steps.metadata       IS 'JSON: time, token usage, model and everything else that the log records about the turn.';
