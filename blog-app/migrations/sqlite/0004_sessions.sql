-- Sessions that were ended before their time, each by its digest; a row is removed when its cookie would have ended anyway.
CREATE TABLE IF NOT EXISTS ended_session (
  session INTEGER NOT NULL PRIMARY KEY,
  ended INTEGER NOT NULL
);

CREATE INDEX IF NOT EXISTS ended_session_ended ON ended_session (ended);

-- How often a user has logged out everywhere; a session with another number has ended.
CREATE TABLE IF NOT EXISTS session_number (
  user_id INTEGER NOT NULL PRIMARY KEY,
  number INTEGER NOT NULL
);
