-- Names that differ in case, accents, emoji or trailing spaces are different names: 0900_bin compares bytes and pads nothing.
ALTER TABLE user
  MODIFY username VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL,
  MODIFY password VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NOT NULL;

-- 65,536 characters of four bytes are 256 KiB, more than TEXT holds.
ALTER TABLE post
  MODIFY title VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci NOT NULL,
  MODIFY body MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci NOT NULL;

-- The listing walks this index from its end and stops after one page.
CREATE INDEX post_created_id ON post (created, id);
