"""What is done in one step, as scripts of the server: each works on the keys of one slot.

Those of a folder are given `:files` (a hash: path to `nonce:size:changes:mtime`) and `:gone` (a
session was deleted here), and find the rest from there: `:names` (all paths, in the order of
bytes), `:data:<nonce>:<k>` (the k-th piece of a file), `:session` and `:keys` (its record, and its
keys in the order they came).

The two that are given are never there both. So a node of a cluster that is giving the slot away
key by key, or getting it so, answers TRYAGAIN; with one key it would be sent on (ASK) and run
where the other keys are not yet, and an append would begin the log anew.
"""

from typing import Final

PIECE_BYTES: Final = 64 << 20
"""A file lies in strings of so much; Redis itself allows 512 MiB."""
READ_BYTES: Final = 16 << 20
"""What one call reads at most."""
GONE_SECONDS: Final = 90 * 86_400
"""So long a deleted session refuses who still holds its log for empty; ids never come back."""

DONE: Final = 0
CONFLICT: Final = 1
DELETED: Final = 2
ABSENT: Final = 3
MOVED: Final = 4

_COMMON: Final = f"""
local files, gone = KEYS[1], KEYS[2]
local top = string.sub(files, 1, -7)
local names = top .. ':names'
local PIECE = {PIECE_BYTES}

local function look(path)
    local facts = redis.call('HGET', files, path)
    if not facts then return nil end
    local nonce, size, changes, mtime = string.match(facts, '^(%w+):(%d+):(%d+):(%d+)$')
    return {{nonce = nonce, size = tonumber(size), changes = tonumber(changes), mtime = mtime}}
end

local function note(path, file)
    redis.call('HSET', files, path,
        string.format('%s:%.0f:%.0f:%s', file.nonce, file.size, file.changes, file.mtime))
end

local function forget(file)
    for k = 0, math.floor(file.size / PIECE) do
        redis.call('DEL', top .. ':data:' .. file.nonce .. ':' .. k)
    end
end

local function add(file, data)
    local at = 1
    while at <= #data do
        local room = PIECE - file.size % PIECE
        local piece = string.sub(data, at, at + room - 1)
        local key = top .. ':data:' .. file.nonce .. ':' .. math.floor(file.size / PIECE)
        redis.call('APPEND', key, piece)
        file.size = file.size + #piece
        at = at + #piece
    end
end

local function told(path, channel)
    if redis.call('EXISTS', top .. ':watch:' .. path) == 1 then
        -- Who may not do so has done all the rest: that is no error.
        redis.pcall('PUBLISH', channel, path)
    end
end

local function answer(status, file, fresh)
    if not file then return {{status}} end
    return {{status, file.nonce, file.size, file.changes, file.mtime, fresh or 0}}
end
"""

APPEND: Final = f"""{_COMMON}
local path, data, if_size, nonce, now, channel = unpack(ARGV)
local file, fresh = look(path), 0
if not file and redis.call('EXISTS', gone) == 1 then return {{{DELETED}}} end
local size = file and file.size or 0
if if_size ~= '' and tonumber(if_size) ~= size then
    return file and answer({CONFLICT}, file) or {{{CONFLICT}, '', 0, 0, '0', 0}}
end
if not file then
    fresh = redis.call('EXISTS', names) == 0 and 1 or 0
    redis.call('ZADD', names, 0, path)
    file = {{nonce = nonce, size = 0, changes = 0}}
end
add(file, data)
file.changes, file.mtime = file.changes + 1, now
note(path, file)
told(path, channel)
return answer({DONE}, file, fresh)
"""

WRITE: Final = f"""{_COMMON}
local path, data, if_version, nonce, now, channel = unpack(ARGV)
local file, fresh = look(path), 0
if not file and redis.call('EXISTS', gone) == 1 then return {{{DELETED}}} end
local version = file and (file.nonce .. '.' .. string.format('%.0f', file.changes)) or 'absent'
if if_version ~= '' and if_version ~= version then return answer({CONFLICT}, file) end
if file then
    forget(file)
else
    fresh = redis.call('EXISTS', names) == 0 and 1 or 0
    redis.call('ZADD', names, 0, path)
end
file = {{nonce = nonce, size = 0, changes = 1, mtime = now}}
add(file, data)
note(path, file)
told(path, channel)
return answer({DONE}, file, fresh)
"""

STAT: Final = f"""{_COMMON}
return answer({DONE}, look(ARGV[1]))
"""

# With a nonce: only of the file that had it, for what is read in several calls.
READ: Final = f"""{_COMMON}
local path, first, last, nonce = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local file = look(path)
if not file then return {{{ABSENT}}} end
if nonce ~= '' and nonce ~= file.nonce then return {{{MOVED}}} end
local stop = math.min(last, file.size, first + {READ_BYTES})
local parts, at = {{}}, first
while at < stop do
    local k = math.floor(at / PIECE)
    local till = math.min(stop, (k + 1) * PIECE)
    local key = top .. ':data:' .. file.nonce .. ':' .. k
    parts[#parts + 1] = redis.call('GETRANGE', key, at - k * PIECE, till - k * PIECE - 1)
    at = till
end
return {{{DONE}, file.nonce, file.size, table.concat(parts)}}
"""

REMOVE: Final = f"""{_COMMON}
local path, if_version, channel = unpack(ARGV)
local file = look(path)
if not file then return {{{DONE}}} end
local version = file.nonce .. '.' .. string.format('%.0f', file.changes)
if if_version ~= '' and if_version ~= version then return answer({CONFLICT}, file) end
forget(file)
redis.call('HDEL', files, path)
redis.call('ZREM', names, path)
told(path, channel)
return answer({DONE}, file)
"""

_REMOVE_BELOW: Final = """
local function remove_below(path, channel)
    local below = path .. '/'
    while true do
        local some = redis.call('ZRANGEBYLEX', names, '[' .. below, '(' .. path .. '0',
            'LIMIT', 0, 500)
        if #some == 0 then return end
        for _, name in ipairs(some) do
            local file = look(name)
            if file then
                forget(file)
                redis.call('HDEL', files, name)
                told(name, channel)
            end
            redis.call('ZREM', names, name)
        end
    end
end
"""

REMOVE_TREE: Final = f"""{_COMMON}{_REMOVE_BELOW}
remove_below(ARGV[1], ARGV[2])
return redis.call('EXISTS', names)
"""

# The names in a folder: what is below one of its folders is passed over.
LIST: Final = f"""{_COMMON}
local within, after, limit = ARGV[1] .. '/', ARGV[2], tonumber(ARGV[3])
local last = string.sub(within, 1, -2) .. '0'
local start = '(' .. within .. after
if string.sub(after, -1) == '/' then start = '[' .. within .. string.sub(after, 1, -2) .. '0' end
local found = {{}}
while #found < limit do
    local name = redis.call('ZRANGEBYLEX', names, start, '(' .. last, 'LIMIT', 0, 1)[1]
    if not name then break end
    local rest = string.sub(name, #within + 1)
    local slash = string.find(rest, '/', 1, true)
    if slash then
        found[#found + 1] = string.sub(rest, 1, slash)
        start = '[' .. within .. string.sub(rest, 1, slash - 1) .. '0'
    else
        found[#found + 1] = rest
        start = '(' .. name
    end
end
return found
"""

# `claims` is what a session is to be called and is not yet: it is none until it is.
REGISTER: Final = f"""{_COMMON}
local stored, key = ARGV[1], ARGV[2]
local session, keys = top .. ':session', top .. ':keys'
if redis.call('EXISTS', gone) == 1 then return {DELETED} end
local fresh = redis.call('HSETNX', session, 'stored', stored)
redis.call('HSETNX', session, 'version', 0)
if key ~= '' then
    if fresh == 1 then redis.call('HSET', session, 'claims', key) end
    if not redis.call('ZSCORE', keys, key) then
        redis.call('ZADD', keys, redis.call('HINCRBY', session, 'keys', 1), key)
    end
end
return {DONE}
"""

# What it claimed names the session now; 0 if it was taken for left over meanwhile.
CONFIRM: Final = f"""{_COMMON}
redis.call('HDEL', top .. ':session', 'claims')
return redis.call('EXISTS', top .. ':session')
"""

# Takes back a registration that lost the race for its key, or whose maker went away.
UNREGISTER: Final = f"""{_COMMON}
local session, keys = top .. ':session', top .. ':keys'
if redis.call('HGET', session, 'claims') ~= ARGV[1] then return 0 end
if redis.call('ZCARD', keys) > 1 or redis.call('EXISTS', names) == 1 then
    redis.call('ZREM', keys, ARGV[1])
    redis.call('HDEL', session, 'claims')
    return 0
end
redis.call('DEL', session, keys)
return 1
"""

ADD_KEY: Final = f"""{_COMMON}
if redis.call('EXISTS', top .. ':session') == 0 then return 0 end
if not redis.call('ZSCORE', top .. ':keys', ARGV[1]) then
    local place = redis.call('HINCRBY', top .. ':session', 'keys', 1)
    redis.call('ZADD', top .. ':keys', place, ARGV[1])
end
return 1
"""

REPLACE: Final = f"""{_COMMON}
local version, stored = ARGV[1], ARGV[2]
local found = redis.call('HGET', top .. ':session', 'version')
if not found then return {DELETED} end
if found ~= version then return {CONFLICT} end
redis.call('HSET', top .. ':session', 'stored', stored, 'version', version + 1)
return {DONE}
"""

# What the session was called stays beside the sign that it is gone, until others are told.
END: Final = f"""{_COMMON}{_REMOVE_BELOW}
local id, channel = ARGV[1], ARGV[2]
local stored = redis.call('HGET', top .. ':session', 'stored')
if not stored then
    local left = redis.call('HMGET', gone, 'keys', 'stored')
    return {{0, left[1] or '[]', left[2] or ''}}
end
local keys = redis.call('ZRANGE', top .. ':keys', 0, -1)
local listed = #keys == 0 and '[]' or cjson.encode(keys)
-- First what makes room: a script that has begun so may end, also if the memory is full.
redis.call('DEL', top .. ':session', top .. ':keys')
remove_below(id, channel)
redis.call('HSET', gone, 'ended', 1, 'keys', listed, 'stored', stored)
redis.call('EXPIRE', gone, {GONE_SECONDS})
return {{1, listed, stored}}
"""

SWEPT: Final = """
return redis.call('HDEL', KEYS[2], 'keys', 'stored')
"""

# Of a key: let it name `ARGV[2]` if it names `ARGV[1]` ('' for nothing); returns whose it is.
POINT: Final = """
local found = redis.call('GET', KEYS[1]) or ''
if found ~= ARGV[1] then return found end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2]) end
return ARGV[2]
"""

# Members of a sorted set, the greatest first, behind a score and a member.
NEWEST: Final = """
local limit, time, id = tonumber(ARGV[1]), ARGV[2], ARGV[3]
if time == '' then return redis.call('ZREVRANGE', KEYS[1], 0, limit - 1) end
local score, start = redis.call('ZSCORE', KEYS[1], id), nil
if score and tonumber(score) == tonumber(time) then
    start = redis.call('ZREVRANK', KEYS[1], id) + 1
else
    start = redis.call('ZCOUNT', KEYS[1], '(' .. time, '+inf')
end
local found = {}
while #found < limit do
    local some = redis.call('ZREVRANGE', KEYS[1], start, start + limit - 1, 'WITHSCORES')
    if #some == 0 then break end
    for at = 1, #some, 2 do
        local tied = tonumber(some[at + 1]) == tonumber(time)
        if #found < limit and not (tied and some[at] >= id) then found[#found + 1] = some[at] end
    end
    start = start + #some / 2
end
return found
"""
