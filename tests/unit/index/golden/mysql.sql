-- step 1
CREATE TABLE IF NOT EXISTS spaces (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE, objects BIGINT NOT NULL DEFAULT 0, size BIGINT NOT NULL DEFAULT 0, disk_size BIGINT NOT NULL DEFAULT 0, pinned_objects BIGINT NOT NULL DEFAULT 0, pinned_disk_size BIGINT NOT NULL DEFAULT 0) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS objects (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, space_id BIGINT NOT NULL, object_key VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, size BIGINT NOT NULL, disk_size BIGINT NOT NULL, stored_at BIGINT NOT NULL, accessed_at BIGINT NOT NULL, hits BIGINT NOT NULL, pinned BIGINT NOT NULL, noted_at BIGINT NOT NULL, UNIQUE (space_id, object_key), INDEX objects_accessed (space_id, pinned, accessed_at), INDEX objects_stored (space_id, pinned, stored_at), INDEX objects_size (space_id, size)) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS facts (name VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, value LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS writers (process BIGINT PRIMARY KEY, noted_until BIGINT NOT NULL) ENGINE=InnoDB;
-- step 2
CREATE TABLE IF NOT EXISTS sources (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, object_id BIGINT NOT NULL UNIQUE, space_id BIGINT NOT NULL, source_url VARCHAR(8192) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, url_head VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, content_hash VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, storage_path VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, file_size BIGINT NOT NULL, content_type LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, first_cached_at BIGINT NOT NULL, INDEX sources_url (space_id, url_head), INDEX sources_size (space_id, file_size, object_id), INDEX sources_age (space_id, first_cached_at, object_id), INDEX sources_content (space_id, content_hash, object_id)) ENGINE=InnoDB;
-- step 3
CREATE TABLE IF NOT EXISTS source_totals (space_id BIGINT PRIMARY KEY, sources BIGINT NOT NULL DEFAULT 0, file_size BIGINT NOT NULL DEFAULT 0, accesses BIGINT NOT NULL DEFAULT 0) ENGINE=InnoDB;
DELETE FROM source_totals;
INSERT INTO source_totals (space_id, sources, file_size, accesses) SELECT sources.space_id, count(*), sum(file_size), sum(hits) FROM sources JOIN objects ON objects.id = sources.object_id GROUP BY sources.space_id;
-- insert_space
INSERT INTO spaces (name) VALUES (:name) ON DUPLICATE KEY UPDATE name = name;
-- space_id
SELECT id FROM spaces WHERE name = :name FOR UPDATE;
-- add_totals
UPDATE spaces SET objects = objects + :objects, size = size + :size, disk_size = disk_size + :disk_size, pinned_objects = pinned_objects + :pinned_objects, pinned_disk_size = pinned_disk_size + :pinned_disk_size WHERE id = :id;
-- totals
SELECT objects, size, disk_size, pinned_objects, pinned_disk_size FROM spaces WHERE name = :name;
-- all_totals
SELECT name, objects, size, disk_size, pinned_objects, pinned_disk_size FROM spaces ORDER BY name;
-- known
SELECT objects.id, size, disk_size, pinned, noted_at, stored_at, hits, object_id, file_size FROM objects LEFT JOIN sources ON object_id = objects.id WHERE objects.space_id = :space AND object_key = :object_key;
-- insert
INSERT INTO objects (space_id, object_key, size, disk_size, stored_at, accessed_at, hits, pinned, noted_at) VALUES (:space, :object_key, :size, :disk_size, :stored_at, :accessed_at, :hits, 0, :noted_at);
-- renew
UPDATE objects SET size = :size, disk_size = :disk_size, stored_at = :stored_at, accessed_at = :accessed_at, hits = :hits, noted_at = :noted_at WHERE id = :id;
-- adjust
UPDATE objects SET size = :size, disk_size = :disk_size, stored_at = :stored_at, noted_at = :noted_at WHERE id = :id;
-- erase
DELETE FROM objects WHERE id = :id;
-- touch
UPDATE objects SET hits = hits + :hits, accessed_at = CASE WHEN accessed_at > :now OR accessed_at < :later THEN :accessed_at ELSE accessed_at END WHERE space_id = :space AND object_key = :object_key;
-- pin
UPDATE objects SET pinned = :pinned WHERE id = :id;
-- find
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = (SELECT id FROM spaces WHERE name = :space) AND object_key = :object_key;
-- oldest
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = (SELECT id FROM spaces WHERE name = :space) AND pinned = 0 ORDER BY accessed_at, objects.id LIMIT :count;
-- stored_before
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = (SELECT id FROM spaces WHERE name = :space) AND pinned = 0 AND stored_at < :time ORDER BY stored_at, objects.id LIMIT :count;
-- shard
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = (SELECT id FROM spaces WHERE name = :space) AND object_key >= :low AND object_key < :high ORDER BY object_key;
-- first_key
SELECT object_key FROM objects WHERE space_id = (SELECT id FROM spaces WHERE name = :space) AND object_key >= :low ORDER BY object_key LIMIT 1;
-- space_number
SELECT id FROM spaces WHERE name = :name;
-- get_fact
SELECT value FROM facts WHERE name = :name;
-- put_fact
INSERT INTO facts (name, value) VALUES (:name, :value) ON DUPLICATE KEY UPDATE value = VALUES(value);
-- put_writer
INSERT INTO writers (process, noted_until) VALUES (:process, :noted_until) ON DUPLICATE KEY UPDATE noted_until = VALUES(noted_until);
-- remove_writer
DELETE FROM writers WHERE process = :process;
-- writers
SELECT process, noted_until FROM writers ORDER BY process;
-- sums
SELECT spaces.name, spaces.objects, spaces.size, spaces.disk_size, spaces.pinned_objects, spaces.pinned_disk_size, count(objects.id), coalesce(sum(objects.size), 0), coalesce(sum(objects.disk_size), 0), coalesce(sum(objects.pinned), 0), coalesce(sum(objects.pinned * objects.disk_size), 0) FROM spaces LEFT JOIN objects ON objects.space_id = spaces.id GROUP BY spaces.id, spaces.name, spaces.objects, spaces.size, spaces.disk_size, spaces.pinned_objects, spaces.pinned_disk_size ORDER BY spaces.name;
-- walk 0 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space ORDER BY objects.object_key LIMIT :count;
-- walk 0 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.object_key > :value ORDER BY objects.object_key LIMIT :count;
-- walk 0 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.object_key = :value AND objects.id > :id ORDER BY objects.object_key LIMIT :count;
-- walk 1 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND object_key >= :low AND object_key < :high ORDER BY objects.object_key LIMIT :count;
-- walk 1 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.object_key > :value AND object_key >= :low AND object_key < :high ORDER BY objects.object_key LIMIT :count;
-- walk 1 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.object_key = :value AND objects.id > :id AND object_key >= :low AND object_key < :high ORDER BY objects.object_key LIMIT :count;
-- walk 2 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space ORDER BY objects.object_key DESC LIMIT :count;
-- walk 2 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.object_key < :value ORDER BY objects.object_key DESC LIMIT :count;
-- walk 2 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.object_key = :value AND objects.id < :id ORDER BY objects.object_key DESC LIMIT :count;
-- walk 3 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND object_key >= :low AND object_key < :high ORDER BY objects.object_key DESC LIMIT :count;
-- walk 3 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.object_key < :value AND object_key >= :low AND object_key < :high ORDER BY objects.object_key DESC LIMIT :count;
-- walk 3 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.object_key = :value AND objects.id < :id AND object_key >= :low AND object_key < :high ORDER BY objects.object_key DESC LIMIT :count;
-- walk 4 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned ORDER BY objects.stored_at, objects.id LIMIT :count;
-- walk 4 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.stored_at > :value ORDER BY objects.stored_at, objects.id LIMIT :count;
-- walk 4 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.stored_at = :value AND objects.id > :id ORDER BY objects.stored_at, objects.id LIMIT :count;
-- walk 5 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND object_key >= :low AND object_key < :high ORDER BY objects.stored_at, objects.id LIMIT :count;
-- walk 5 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.stored_at > :value AND object_key >= :low AND object_key < :high ORDER BY objects.stored_at, objects.id LIMIT :count;
-- walk 5 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.stored_at = :value AND objects.id > :id AND object_key >= :low AND object_key < :high ORDER BY objects.stored_at, objects.id LIMIT :count;
-- walk 6 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned ORDER BY objects.stored_at DESC, objects.id DESC LIMIT :count;
-- walk 6 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.stored_at < :value ORDER BY objects.stored_at DESC, objects.id DESC LIMIT :count;
-- walk 6 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.stored_at = :value AND objects.id < :id ORDER BY objects.stored_at DESC, objects.id DESC LIMIT :count;
-- walk 7 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND object_key >= :low AND object_key < :high ORDER BY objects.stored_at DESC, objects.id DESC LIMIT :count;
-- walk 7 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.stored_at < :value AND object_key >= :low AND object_key < :high ORDER BY objects.stored_at DESC, objects.id DESC LIMIT :count;
-- walk 7 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.stored_at = :value AND objects.id < :id AND object_key >= :low AND object_key < :high ORDER BY objects.stored_at DESC, objects.id DESC LIMIT :count;
-- walk 8 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned ORDER BY objects.accessed_at, objects.id LIMIT :count;
-- walk 8 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.accessed_at > :value ORDER BY objects.accessed_at, objects.id LIMIT :count;
-- walk 8 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.accessed_at = :value AND objects.id > :id ORDER BY objects.accessed_at, objects.id LIMIT :count;
-- walk 9 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND object_key >= :low AND object_key < :high ORDER BY objects.accessed_at, objects.id LIMIT :count;
-- walk 9 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.accessed_at > :value AND object_key >= :low AND object_key < :high ORDER BY objects.accessed_at, objects.id LIMIT :count;
-- walk 9 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.accessed_at = :value AND objects.id > :id AND object_key >= :low AND object_key < :high ORDER BY objects.accessed_at, objects.id LIMIT :count;
-- walk 10 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned ORDER BY objects.accessed_at DESC, objects.id DESC LIMIT :count;
-- walk 10 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.accessed_at < :value ORDER BY objects.accessed_at DESC, objects.id DESC LIMIT :count;
-- walk 10 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.accessed_at = :value AND objects.id < :id ORDER BY objects.accessed_at DESC, objects.id DESC LIMIT :count;
-- walk 11 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND object_key >= :low AND object_key < :high ORDER BY objects.accessed_at DESC, objects.id DESC LIMIT :count;
-- walk 11 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.accessed_at < :value AND object_key >= :low AND object_key < :high ORDER BY objects.accessed_at DESC, objects.id DESC LIMIT :count;
-- walk 11 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND pinned = :pinned AND objects.accessed_at = :value AND objects.id < :id AND object_key >= :low AND object_key < :high ORDER BY objects.accessed_at DESC, objects.id DESC LIMIT :count;
-- walk 12 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space ORDER BY objects.size, objects.id LIMIT :count;
-- walk 12 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.size > :value ORDER BY objects.size, objects.id LIMIT :count;
-- walk 12 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.size = :value AND objects.id > :id ORDER BY objects.size, objects.id LIMIT :count;
-- walk 13 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND object_key >= :low AND object_key < :high ORDER BY objects.size, objects.id LIMIT :count;
-- walk 13 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.size > :value AND object_key >= :low AND object_key < :high ORDER BY objects.size, objects.id LIMIT :count;
-- walk 13 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.size = :value AND objects.id > :id AND object_key >= :low AND object_key < :high ORDER BY objects.size, objects.id LIMIT :count;
-- walk 14 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space ORDER BY objects.size DESC, objects.id DESC LIMIT :count;
-- walk 14 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.size < :value ORDER BY objects.size DESC, objects.id DESC LIMIT :count;
-- walk 14 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.size = :value AND objects.id < :id ORDER BY objects.size DESC, objects.id DESC LIMIT :count;
-- walk 15 first
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND object_key >= :low AND object_key < :high ORDER BY objects.size DESC, objects.id DESC LIMIT :count;
-- walk 15 behind
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.size < :value AND object_key >= :low AND object_key < :high ORDER BY objects.size DESC, objects.id DESC LIMIT :count;
-- walk 15 among
SELECT object_key, objects.size, objects.disk_size, stored_at, accessed_at, hits, pinned, objects.id FROM objects WHERE space_id = :space AND objects.size = :value AND objects.id < :id AND object_key >= :low AND object_key < :high ORDER BY objects.size DESC, objects.id DESC LIMIT :count;
-- put_source
INSERT INTO sources (object_id, space_id, source_url, url_head, content_hash, storage_path, file_size, content_type, first_cached_at) VALUES (:object_id, :space_id, :source_url, :url_head, :content_hash, :storage_path, :file_size, :content_type, :first_cached_at) ON DUPLICATE KEY UPDATE space_id = VALUES(space_id), source_url = VALUES(source_url), url_head = VALUES(url_head), content_hash = VALUES(content_hash), storage_path = VALUES(storage_path), file_size = VALUES(file_size), content_type = VALUES(content_type), first_cached_at = VALUES(first_cached_at);
-- erase_source
DELETE FROM sources WHERE object_id = :id;
-- find_source
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = (SELECT id FROM spaces WHERE name = :space) AND object_key = :object_key;
-- sources_of
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = (SELECT id FROM spaces WHERE name = :space) AND content_hash = :hash ORDER BY sources.object_id LIMIT :count;
-- source_totals
SELECT sources, file_size, accesses FROM source_totals WHERE space_id = (SELECT id FROM spaces WHERE name = :space);
-- has_source_totals
SELECT sources FROM source_totals WHERE space_id = :space;
-- begin_source_totals
INSERT INTO source_totals (space_id) VALUES (:space_id) ON DUPLICATE KEY UPDATE space_id = space_id;
-- add_source_totals
UPDATE source_totals SET sources = sources + :sources, file_size = file_size + :file_size, accesses = accesses + :accesses WHERE space_id = :space;
-- source_sums
SELECT name, coalesce(source_totals.sources, 0), coalesce(source_totals.file_size, 0), coalesce(source_totals.accesses, 0), coalesce(summed.sources, 0), coalesce(summed.file_size, 0), coalesce(summed.accesses, 0) FROM spaces LEFT JOIN source_totals ON source_totals.space_id = spaces.id LEFT JOIN (SELECT sources.space_id AS space_id, count(*) AS sources, sum(file_size) AS file_size, sum(hits) AS accesses FROM sources JOIN objects ON objects.id = sources.object_id GROUP BY sources.space_id) AS summed ON summed.space_id = spaces.id ORDER BY name;
-- without_source
SELECT object_key FROM objects WHERE space_id = (SELECT id FROM spaces WHERE name = :space) AND object_key > :low AND NOT EXISTS (SELECT 1 FROM sources WHERE object_id = objects.id) ORDER BY object_key LIMIT :count;
-- source walk 0 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space ORDER BY url_head, source_url LIMIT :count;
-- source walk 0 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND url_head > :value ORDER BY url_head, source_url LIMIT :count;
-- source walk 0 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND url_head = :value AND source_url > :second ORDER BY url_head, source_url LIMIT :count;
-- source walk 1 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND source_url >= :low AND source_url < :high AND url_head >= :low_head AND url_head < :high_head ORDER BY url_head, source_url LIMIT :count;
-- source walk 1 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND url_head > :value AND source_url >= :low AND source_url < :high AND url_head >= :low_head AND url_head < :high_head ORDER BY url_head, source_url LIMIT :count;
-- source walk 1 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND url_head = :value AND source_url > :second AND source_url >= :low AND source_url < :high AND url_head >= :low_head AND url_head < :high_head ORDER BY url_head, source_url LIMIT :count;
-- source walk 2 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space ORDER BY url_head DESC, source_url DESC LIMIT :count;
-- source walk 2 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND url_head < :value ORDER BY url_head DESC, source_url DESC LIMIT :count;
-- source walk 2 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND url_head = :value AND source_url < :second ORDER BY url_head DESC, source_url DESC LIMIT :count;
-- source walk 3 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND source_url >= :low AND source_url < :high AND url_head >= :low_head AND url_head < :high_head ORDER BY url_head DESC, source_url DESC LIMIT :count;
-- source walk 3 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND url_head < :value AND source_url >= :low AND source_url < :high AND url_head >= :low_head AND url_head < :high_head ORDER BY url_head DESC, source_url DESC LIMIT :count;
-- source walk 3 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND url_head = :value AND source_url < :second AND source_url >= :low AND source_url < :high AND url_head >= :low_head AND url_head < :high_head ORDER BY url_head DESC, source_url DESC LIMIT :count;
-- source walk 4 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space ORDER BY file_size, object_id LIMIT :count;
-- source walk 4 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND file_size > :value ORDER BY file_size, object_id LIMIT :count;
-- source walk 4 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND file_size = :value AND object_id > :second ORDER BY file_size, object_id LIMIT :count;
-- source walk 5 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND source_url >= :low AND source_url < :high ORDER BY file_size, object_id LIMIT :count;
-- source walk 5 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND file_size > :value AND source_url >= :low AND source_url < :high ORDER BY file_size, object_id LIMIT :count;
-- source walk 5 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND file_size = :value AND object_id > :second AND source_url >= :low AND source_url < :high ORDER BY file_size, object_id LIMIT :count;
-- source walk 6 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space ORDER BY file_size DESC, object_id DESC LIMIT :count;
-- source walk 6 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND file_size < :value ORDER BY file_size DESC, object_id DESC LIMIT :count;
-- source walk 6 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND file_size = :value AND object_id < :second ORDER BY file_size DESC, object_id DESC LIMIT :count;
-- source walk 7 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND source_url >= :low AND source_url < :high ORDER BY file_size DESC, object_id DESC LIMIT :count;
-- source walk 7 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND file_size < :value AND source_url >= :low AND source_url < :high ORDER BY file_size DESC, object_id DESC LIMIT :count;
-- source walk 7 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND file_size = :value AND object_id < :second AND source_url >= :low AND source_url < :high ORDER BY file_size DESC, object_id DESC LIMIT :count;
-- source walk 8 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space ORDER BY first_cached_at, object_id LIMIT :count;
-- source walk 8 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND first_cached_at > :value ORDER BY first_cached_at, object_id LIMIT :count;
-- source walk 8 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND first_cached_at = :value AND object_id > :second ORDER BY first_cached_at, object_id LIMIT :count;
-- source walk 9 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND source_url >= :low AND source_url < :high ORDER BY first_cached_at, object_id LIMIT :count;
-- source walk 9 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND first_cached_at > :value AND source_url >= :low AND source_url < :high ORDER BY first_cached_at, object_id LIMIT :count;
-- source walk 9 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND first_cached_at = :value AND object_id > :second AND source_url >= :low AND source_url < :high ORDER BY first_cached_at, object_id LIMIT :count;
-- source walk 10 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space ORDER BY first_cached_at DESC, object_id DESC LIMIT :count;
-- source walk 10 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND first_cached_at < :value ORDER BY first_cached_at DESC, object_id DESC LIMIT :count;
-- source walk 10 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND first_cached_at = :value AND object_id < :second ORDER BY first_cached_at DESC, object_id DESC LIMIT :count;
-- source walk 11 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND source_url >= :low AND source_url < :high ORDER BY first_cached_at DESC, object_id DESC LIMIT :count;
-- source walk 11 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND first_cached_at < :value AND source_url >= :low AND source_url < :high ORDER BY first_cached_at DESC, object_id DESC LIMIT :count;
-- source walk 11 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE sources.space_id = :space AND first_cached_at = :value AND object_id < :second AND source_url >= :low AND source_url < :high ORDER BY first_cached_at DESC, object_id DESC LIMIT :count;
-- source walk 12 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned ORDER BY accessed_at, objects.id LIMIT :count;
-- source walk 12 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND accessed_at > :value ORDER BY accessed_at, objects.id LIMIT :count;
-- source walk 12 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND accessed_at = :value AND objects.id > :second ORDER BY accessed_at, objects.id LIMIT :count;
-- source walk 13 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND source_url >= :low AND source_url < :high ORDER BY accessed_at, objects.id LIMIT :count;
-- source walk 13 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND accessed_at > :value AND source_url >= :low AND source_url < :high ORDER BY accessed_at, objects.id LIMIT :count;
-- source walk 13 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND accessed_at = :value AND objects.id > :second AND source_url >= :low AND source_url < :high ORDER BY accessed_at, objects.id LIMIT :count;
-- source walk 14 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned ORDER BY accessed_at DESC, objects.id DESC LIMIT :count;
-- source walk 14 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND accessed_at < :value ORDER BY accessed_at DESC, objects.id DESC LIMIT :count;
-- source walk 14 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND accessed_at = :value AND objects.id < :second ORDER BY accessed_at DESC, objects.id DESC LIMIT :count;
-- source walk 15 first
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND source_url >= :low AND source_url < :high ORDER BY accessed_at DESC, objects.id DESC LIMIT :count;
-- source walk 15 behind
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND accessed_at < :value AND source_url >= :low AND source_url < :high ORDER BY accessed_at DESC, objects.id DESC LIMIT :count;
-- source walk 15 among
SELECT object_key, source_url, content_hash, storage_path, file_size, content_type, first_cached_at, accessed_at, hits, objects.id FROM sources JOIN objects ON objects.id = sources.object_id WHERE objects.space_id = :space AND pinned = :pinned AND accessed_at = :value AND objects.id < :second AND source_url >= :low AND source_url < :high ORDER BY accessed_at DESC, objects.id DESC LIMIT :count;
