CREATE TABLE replays (
    path_id             VARCHAR NOT NULL PRIMARY KEY,
    tree_id             VARCHAR NOT NULL,
    environment         VARCHAR NOT NULL,
    environment_version VARCHAR NOT NULL,
    replayed            BOOLEAN NOT NULL,
    replay_score        DOUBLE CHECK (replay_score >= 0 AND replay_score <= 1),
    differs_at          INTEGER CHECK (differs_at >= 0),
    reason              VARCHAR NOT NULL CHECK (reason IN ('', 'observation_differs', 'ended_early')),
    detail              VARCHAR NOT NULL
);
COMMENT ON TABLE  replays                     IS 'An extracted path whose actions were taken in the real environment. Written by replay; a path that could not be replayed is in dropped, with the reason.';
COMMENT ON COLUMN replays.path_id             IS 'The path.';
COMMENT ON COLUMN replays.tree_id             IS 'The tree.';
COMMENT ON COLUMN replays.environment         IS 'The environment of the tree.';
COMMENT ON COLUMN replays.environment_version IS 'The version of the environment in which it was replayed.';
COMMENT ON COLUMN replays.replayed            IS 'Whether the replay showed the path''s observations again.';
COMMENT ON COLUMN replays.replay_score        IS 'The score that the replay earned; NULL if the environment gave none.';
COMMENT ON COLUMN replays.differs_at          IS 'The first step, from 0, at which the replay differed; the number of steps if only the text after the last action did; NULL if nothing differed.';
COMMENT ON COLUMN replays.reason              IS 'observation_differs: the environment showed something else; ended_early: the episode ended before the last action; empty if nothing differed.';
COMMENT ON COLUMN replays.detail              IS 'What the environment showed, and what the tree says.';
