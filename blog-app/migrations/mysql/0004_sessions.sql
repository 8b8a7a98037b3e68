-- Sessions that were ended before their time, each by its digest; a row is removed when its cookie would have ended anyway.
CREATE TABLE IF NOT EXISTS ended_session (
  session BIGINT NOT NULL PRIMARY KEY,
  ended BIGINT NOT NULL,
  KEY ended_session_ended (ended)
);

-- How often a user has logged out everywhere; a session with another number has ended.
CREATE TABLE IF NOT EXISTS session_number (
  user_id INT NOT NULL PRIMARY KEY,
  number BIGINT NOT NULL
);
