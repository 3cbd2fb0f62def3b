"""Redis scripts: each step of the shared cache as one atomic question, so that no two processes see half of another.

A value is kept behind its mark, the two epochs of its birth (of the whole cache and of its region): clearing changes an
epoch, and what bears the old one is as good as gone. The milliseconds it was given to live follow: less what is left of
them, they are its age. Beside it a generation changes with every `set` and `delete`, so that a load which began before
them cannot overwrite them; and a lock says that somebody is loading it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

_EPOCHS = """
local function epoch(name, fresh)
  redis.call('HSETNX', KEYS[1], name, fresh)
  return redis.call('HGET', KEYS[1], name)
end
local mark = epoch('', ARGV[2]) .. '.' .. epoch(ARGV[1], ARGV[2])
local function fresh_value()
  local kept = redis.call('GET', KEYS[2])
  if kept and string.sub(kept, 1, #mark + 1) == mark .. '\\n' then return kept end
end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """`sha` is the SHA-1 by which Redis knows a script; it protects nothing here."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


READ = Script(
    _EPOCHS
    + """
local kept = fresh_value()
if kept then return {kept, redis.call('PTTL', KEYS[2])} end
return {}
"""
)
"""KEYS epochs, value · ARGV region, fresh token → {} or {mark \\n life \\n content, milliseconds left}."""

BEGIN = Script(
    _EPOCHS
    + """
local kept = fresh_value()
if kept then return {kept, redis.call('PTTL', KEYS[2])} end
local won = redis.call('SET', KEYS[4], ARGV[2], 'NX', 'PX', ARGV[3])
return {won and 1 or 0, mark, redis.call('GET', KEYS[3]) or ''}
"""
)
"""KEYS epochs, value, generation, lock · ARGV region, token, lock ms → {mark \\n life \\n content, milliseconds left}
or {1 where the lock is ours, mark, generation}."""

FINISH = Script(
    _EPOCHS
    + """
local kept = 0
if tonumber(ARGV[6]) > 0 and mark == ARGV[3] and (redis.call('GET', KEYS[3]) or '') == ARGV[4] then
  redis.call('SET', KEYS[2], mark .. '\\n' .. ARGV[6] .. '\\n' .. ARGV[5], 'PX', ARGV[6])
  kept = 1
end
if redis.call('GET', KEYS[4]) == ARGV[2] then redis.call('DEL', KEYS[4]) end
redis.call('PUBLISH', ARGV[7], ARGV[8])
return {kept}
"""
)
"""KEYS epochs, value, generation, lock · ARGV region, token, mark, generation, content, ms to live (0: nothing to
keep), channel, message → {1 where the value was kept}."""

WRITE = Script(
    _EPOCHS
    + """
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
if tonumber(ARGV[5]) > 0 then
  redis.call('SET', KEYS[2], mark .. '\\n' .. ARGV[5] .. '\\n' .. ARGV[4], 'PX', ARGV[5])
else
  redis.call('UNLINK', KEYS[2])
end
redis.call('PUBLISH', ARGV[6], ARGV[7])
return {1}
"""
)
"""KEYS epochs, value, generation · ARGV region, fresh token, generation ms, content, ms to live (0: forget), channel,
message → {1}."""

CLEAR = Script(
    """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return {1}
"""
)
"""KEYS epochs · ARGV region ('': all), fresh token, channel, message → {1}."""

LOOK = Script(
    """
local step = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local rows = {}
for _, name in ipairs(step[2]) do
  local left = redis.call('PTTL', name)
  if left >= 0 then
    rows[#rows + 1] = {name, redis.call('GETRANGE', name, 0, 95), left, redis.call('STRLEN', name)}
  end
end
return {step[1], redis.call('HGETALL', KEYS[1]), rows}
"""
)
"""KEYS epochs · ARGV cursor, pattern of the values' names, keys to walk → {next cursor ('0': the end), epochs as names
and values in turn, of each value met {name, its first bytes, milliseconds left, bytes}}. Changes nothing."""
