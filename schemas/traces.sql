CREATE TABLE traces (
    harness           VARCHAR,
    session_id        VARCHAR NOT NULL PRIMARY KEY,
    prompt            VARCHAR,
    messages          VARCHAR[],
    tools             VARCHAR[],
    metadata          VARCHAR,
    sent_at           VARCHAR,
    num_user_messages BIGINT,
    num_tool_calls    BIGINT,
    trace             VARCHAR,
    file_path         VARCHAR
);
COMMENT ON TABLE  traces                   IS 'A rollout as a session for the Hub''s trace viewer, with the columns that `datasets` gives sessions. Written by publish, in releases only.';
COMMENT ON COLUMN traces.harness           IS 'The harness whose format the session has, as `datasets` recognises it.';
COMMENT ON COLUMN traces.session_id        IS 'The rollout_id.';
COMMENT ON COLUMN traces.prompt            IS 'The beginning of the first user message.';
COMMENT ON COLUMN traces.messages          IS 'JSON of each message, in OpenAI form; NULL if the session is too long for a row.';
COMMENT ON COLUMN traces.tools             IS 'JSON of each tool that the agent could call, in OpenAI form.';
COMMENT ON COLUMN traces.metadata          IS 'JSON: the columns of the rollout, such as task_id, agent, score.';
COMMENT ON COLUMN traces.sent_at           IS 'Always NULL: the times of steps are in steps.metadata, if the log has them.';
COMMENT ON COLUMN traces.num_user_messages IS 'Messages of the user, or of the environment in its place.';
COMMENT ON COLUMN traces.num_tool_calls    IS 'Calls of tools.';
COMMENT ON COLUMN traces.trace             IS 'JSON: the text of the session''s file; NULL if it is too long for a row.';
COMMENT ON COLUMN traces.file_path         IS 'The session''s file in this release, which the Hub''s viewer opens.';
