"""The writes, as scripts of the server: each is all there or not at all, and its marker says that it was done.

Keys of a tenant share one hash slot (`{TENANT}`), so that a script may touch them together.

    perdure:{TENANT}:sessions        sorted set   names of sessions, all with score 0: in the order of their bytes
    perdure:{TENANT}:head:PLACE      hash         n, v, began, changed, summary = `UPTO AT JSON`
    perdure:{TENANT}:said:PLACE      hash         number of a message -> `AT JSON`
    perdure:{TENANT}:kept:PLACE      hash         name of a value -> `VERSION AT JSON`; empty: it has a key of its own
    perdure:{TENANT}:ends:PLACE      sorted set   keys of their own of this session, by when the server takes them away
    perdure:{TENANT}:said:PLACE/N    string       a message with a `ttl`
    perdure:{TENANT}:kept:PLACE/NAME string       a value with a `ttl`
    perdure:{TENANT}:done:HASH       string       what came of the write under that key
"""

from __future__ import annotations

from .connection import Script

__all__ = ["APPEND", "COMPACT", "DELETE", "FORGET", "SET", "STATES"]

STATES = {"written": 0, "conflict": 1, "too few": 2}
"""The second number that a script returns; the first is a version."""

_BEGIN = """
local done = redis.call('GET', KEYS[1])
if done then return {tonumber(done), 0} end
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%06d', clock[2])
local function written(version, place)
  redis.call('HSETNX', KEYS[2], 'began', now)
  redis.call('HSET', KEYS[2], 'changed', now)
  redis.call('ZADD', KEYS[3], 0, place)
  redis.call('SET', KEYS[1], string.format('%d', version), 'PX', ARGV[1])
  return {version, 0}
end
local function millis(ttl) return clock[1] * 1000 + math.floor(clock[2] / 1000) + ttl end
"""
"""`KEYS`: the marker, the head, the list of sessions. `ARGV`: how long a marker stays."""

APPEND = Script(
    _BEGIN
    + """
local said, ends, place, item, ttl = KEYS[4], KEYS[5], ARGV[2], ARGV[3], tonumber(ARGV[4])
local n = redis.call('HINCRBY', KEYS[2], 'n', 1)
if ttl == 0 then
  redis.call('HSET', said, n, now .. ' ' .. item)
else
  local own = said .. '/' .. n
  redis.call('SET', own, now .. ' ' .. item, 'PX', ARGV[4])
  redis.call('ZREMRANGEBYSCORE', ends, '-inf', millis(0))
  redis.call('ZADD', ends, string.format('%.0f', millis(ttl)), own)
end
return written(n, place)
"""
)

_VALUE = """
local kept, ends, place, name, own = KEYS[4], KEYS[5], ARGV[2], ARGV[3], KEYS[4] .. '/' .. ARGV[3]
local item = redis.call('HGET', kept, name)
if item == '' then item = redis.call('GET', own) end
local there = 0
if item then there = tonumber(string.match(item, '^%d+')) end
if ARGV[4] ~= '' and tonumber(ARGV[4]) ~= there then return {there, 1} end
local version = redis.call('HINCRBY', KEYS[2], 'v', 1)
"""
"""Where `ARGV[4]` is not empty, just that version must stand there."""

SET = Script(
    _BEGIN
    + _VALUE
    + """
local ttl = tonumber(ARGV[6])
local made = string.format('%d', version) .. ' ' .. now .. ' ' .. ARGV[5]
for _, over in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', string.format('%.0f', millis(0)), 'LIMIT', 0, 100)) do
  if string.sub(over, 1, #kept + 1) == kept .. '/' then redis.call('HDEL', kept, string.sub(over, #kept + 2)) end
  redis.call('ZREM', ends, over)
end
if ttl == 0 then
  redis.call('HSET', kept, name, made)
  redis.call('DEL', own)
  redis.call('ZREM', ends, own)
else
  redis.call('HSET', kept, name, '')
  redis.call('SET', own, made, 'PX', ARGV[6])
  redis.call('ZADD', ends, string.format('%.0f', millis(ttl)), own)
end
return written(version, place)
"""
)

DELETE = Script(
    _BEGIN
    + _VALUE
    + """
redis.call('HDEL', kept, name)
redis.call('DEL', own)
redis.call('ZREM', ends, own)
return written(version, place)
"""
)

COMPACT = Script(
    _BEGIN
    + """
local place, upto = ARGV[2], tonumber(ARGV[3])
local n = tonumber(redis.call('HGET', KEYS[2], 'n') or 0)
if upto < 1 or upto > n then return {n, 2} end
local summary = redis.call('HGET', KEYS[2], 'summary')
local before = summary and tonumber(string.match(summary, '^%d+')) or 0
if before >= upto then return {before, 1} end
redis.call('HSET', KEYS[2], 'summary', ARGV[3] .. ' ' .. now .. ' ' .. ARGV[4])
return written(upto, place)
"""
)

FORGET = Script(
    """
local list, head, said, kept, ends = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local items = redis.call('HLEN', said) + redis.call('HLEN', kept) + redis.call('HEXISTS', head, 'summary')
for _, own in ipairs(redis.call('ZRANGE', ends, 0, -1)) do
  local there = redis.call('UNLINK', own)
  if string.sub(own, 1, #said + 1) == said .. '/' then items = items + there end
end
redis.call('UNLINK', head, said, kept, ends)
redis.call('ZREM', list, ARGV[1])
return items
"""
)
"""`KEYS`: the list of sessions, head, messages, values, ends. Markers stay: what was done is not done again."""
