"""The scripts that keep the budget of calls in Redis or Valkey: `tasks.budget_state`, line by line, in Lua.

Each is one round trip and atomic, and tells the time by the server's clock (ARGV[1] is '' but in tests).
KEYS: the holders (token → until when) of the pair, the tenant and the host; what is known about each, in the same
order; all pairs by the time of their last use.
"""

from tasks import budget_rules as rules

_NUMBERS = {
    name: getattr(rules, name)
    for name in (
        "ASSUMED_SECONDS", "DURATION_WEIGHT", "PROMISED_SECONDS", "UNKNOWN_CALLS", "IDLE_SECONDS",
        "FAILURES", "FAILURE_SECONDS", "WINDOW_CALLS", "WINDOW_SECONDS", "OPEN_SECONDS", "OPEN_MOST_SECONDS",
        "THROTTLE_SECONDS", "THROTTLE_DOUBLED_SECONDS", "THROTTLE_MOST_SECONDS", "GROW_CALLS", "KEPT_SECONDS",
    )
}  # fmt: skip

_SHARED = """
local function exactly(number) return string.format('%.17g', number) end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end

-- What is not known yet is 0; the table itself holds only what has changed.
local function load(key)
  local kept, flat = {}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do kept[flat[i]] = tonumber(flat[i + 1]) or flat[i + 1] end
  return setmetatable({}, {__index = function(_, name) return kept[name] or 0 end})
end

local function keep(key, seconds)
  if redis.call('TTL', key) < seconds then redis.call('EXPIRE', key, math.ceil(seconds * 2)) end
end

local function save(key, scope, seconds)
  local changed = {}
  for name, value in pairs(scope) do
    changed[#changed + 1] = name
    changed[#changed + 1] = type(value) == 'number' and exactly(value) or value
  end
  if #changed > 0 then redis.call('HSET', key, unpack(changed)) end
  keep(key, seconds)
end

local function or_else(number, other) if number == 0 then return other end return number end

local pair, tenant, host = load(KEYS[4]), load(KEYS[5]), load(KEYS[6])
"""

_ENTER = """
local jitter, token, hold, member = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5]
local per_host, per_tenant, all_to_host = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local pair_rate, tenant_rate = tonumber(ARGV[9]), tonumber(ARGV[10])
local most = or_else(pair.limit, per_host)

local function promise(scope, base, gap, ahead)
  local time = math.max(base, scope.promised) + gap
  if time > base + ahead then return base + ahead * (1 + jitter) / 2 end
  scope.promised = time
  return time + jitter * gap / 2
end

local function full(key, scope, size)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', exactly(now))
  if redis.call('ZCARD', key) < size then return nil end
  local known = scope.duration > 0
  local takes = known and scope.duration or math.max(ASSUMED_SECONDS, 2 * (now - scope.began))
  local base = scope.left <= scope.began and math.max(now, scope.began + takes) or now
  local ahead = known and PROMISED_SECONDS or math.min(PROMISED_SECONDS, UNKNOWN_CALLS * takes)
  local quiet = now - math.max(scope.left, scope.began)
  if known and quiet > 2 * scope.duration then
    base = now + math.min(quiet, PROMISED_SECONDS / 2)
    ahead = PROMISED_SECONDS / 2
  end
  return promise(scope, base, takes / size, ahead)
end

local function after_probe(gap)
  if pair.is_prober_told == 0 and pair.open_until > now then
    pair.is_prober_told = 1
    return pair.open_until
  end
  local probed = now - pair.open_until
  local span = math.min(math.max(pair.interval, probed), OPEN_MOST_SECONDS)
  local latest = now + span
  local base = math.min(math.max(pair.open_until + pair.took, now + probed), now + span * 0.75)
  local time = math.max(base, pair.promised) + gap
  if time > latest then return base + jitter * (latest - base) end
  pair.promised = time
  return time
end

local function over(scope, rate)
  local gap = 1 / rate
  local base = scope.arrival - math.max(rate - 1, 0) * gap
  if base <= now then return nil end
  local time = math.max(base, scope.turn + gap)
  if time > base + PROMISED_SECONDS then return base + PROMISED_SECONDS * (1 + jitter) / 2 end
  scope.turn = time
  return time
end

local function refusal()
  local gap = or_else(pair.duration, ASSUMED_SECONDS) / most
  if pair.throttled_until > now then
    return 'throttled', promise(pair, pair.throttled_until, gap, PROMISED_SECONDS), most
  end
  if pair.open_until > now or (pair.open_until > 0 and pair.probe_until > now) then
    return 'down', after_probe(gap), most
  end
  local why, till, limit
  local function latest(other, time, size)
    if time and (not till or time > till) then why, till, limit = other, time, size end
  end
  latest('pair_busy', full(KEYS[1], pair, most), most)
  latest('tenant_busy', full(KEYS[2], tenant, per_tenant), per_tenant)
  latest('host_busy', full(KEYS[3], host, all_to_host), all_to_host)
  if why then return why, till, limit end
  if pair_rate then latest('pair_rate', over(pair, pair_rate), pair_rate) end
  if tenant_rate then latest('tenant_rate', over(tenant, tenant_rate), tenant_rate) end
  return why, till, limit
end

local function count(key, scope, size)
  if redis.call('ZCARD', key) == 0 then
    scope.began = now
    if now - scope.left > IDLE_SECONDS + scope.duration / size then
      scope.promised = math.min(scope.promised, now)
    end
  end
  redis.call('ZADD', key, exactly(now + hold), token)
  keep(key, hold + 60)
end

local why, till, limit = refusal()
local is_probe = not why and pair.open_until > 0
if not why then
  if is_probe then pair.probe, pair.probe_until, pair.open_until = token, now + hold, now end
  count(KEYS[1], pair, most)
  count(KEYS[2], tenant, per_tenant)
  count(KEYS[3], host, all_to_host)
  if pair_rate then pair.arrival = math.max(pair.arrival, now) + 1 / pair_rate end
  if tenant_rate then tenant.arrival = math.max(tenant.arrival, now) + 1 / tenant_rate end
end
local seconds = math.max(KEPT_SECONDS, hold + 60)
save(KEYS[4], pair, math.max(seconds, pair.arrival - now))
save(KEYS[5], tenant, math.max(seconds, tenant.arrival - now))
save(KEYS[6], host, seconds)
redis.call('ZADD', KEYS[7], exactly(now), member)
redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', exactly(now - KEPT_SECONDS))
keep(KEYS[7], KEPT_SECONDS)
if why then return {why, exactly(till - now), exactly(limit)} end
return {'', is_probe and '1' or '0', '0'}
"""

_LEAVE = """
local token, member, per_host = ARGV[2], ARGV[3], tonumber(ARGV[4])
local went, seconds, retry_after = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])

if redis.call('ZREM', KEYS[1], token) == 0 then return '' end
redis.call('ZREM', KEYS[2], token)
redis.call('ZREM', KEYS[3], token)

for _, scope in ipairs({pair, tenant, host}) do
  local known = scope.duration
  scope.left = now
  if went == 'well' or (went == 'badly' and seconds > known) then
    scope.duration = known > 0 and known + DURATION_WEIGHT * (seconds - known) or seconds
  end
end

local function end_probe()
  pair.probe, pair.probe_until, pair.is_prober_told = 0, 0, 0
  if went == 'neither' then
    pair.open_until = now
  elseif went == 'badly' then
    pair.took = seconds
    pair.interval = math.min(math.max(2 * pair.interval, OPEN_SECONDS, seconds), OPEN_MOST_SECONDS)
    pair.open_until = now + pair.interval
  else
    pair.open_until, pair.interval, pair.closed = 0, 0, now
    pair.failures, pair.window, pair.window_calls, pair.window_failures = 0, now, 0, 0
  end
end

local function judge()
  if pair.open_until > 0 then
    if token == pair.probe then end_probe() end
    return
  end
  if went == 'neither' or now - seconds < pair.closed then return end
  if now - pair.window > WINDOW_SECONDS then pair.window, pair.window_calls, pair.window_failures = now, 0, 0 end
  pair.window_calls = pair.window_calls + 1
  if went ~= 'badly' then
    pair.failures = 0
    return
  end
  pair.window_failures = pair.window_failures + 1
  pair.failures = now - pair.failed > FAILURE_SECONDS and 1 or pair.failures + 1
  pair.failed, pair.took = now, seconds
  local half = pair.window_calls >= WINDOW_CALLS and pair.window_failures * 2 >= pair.window_calls
  if pair.failures >= FAILURES or half then
    pair.interval = math.min(math.max(OPEN_SECONDS, seconds), OPEN_MOST_SECONDS)
    pair.open_until, pair.is_prober_told = now + pair.interval, 0
  end
end

local function throttle()
  if now - seconds >= pair.cut then
    pair.throttles = pair.throttles + 1
    pair.limit, pair.grown, pair.cut = math.max(1, math.floor(or_else(pair.limit, per_host) / 2)), 0, now
  end
  local wait = retry_after
  if not wait then
    wait = math.min(THROTTLE_SECONDS * 2 ^ (math.min(pair.throttles, 10) - 1), THROTTLE_DOUBLED_SECONDS)
  end
  pair.throttled_until = math.max(pair.throttled_until, now + math.min(math.max(wait, 0), THROTTLE_MOST_SECONDS))
end

local function grow()
  if pair.limit == 0 or now - seconds < pair.cut then return end
  pair.throttles = 0
  pair.grown = pair.grown + 1
  if pair.grown >= GROW_CALLS then pair.limit, pair.grown = pair.limit + 1, 0 end
  if pair.limit >= per_host then pair.limit = 0 end
end

local was = pair.open_until
judge()
if went == 'throttled' then throttle() elseif went == 'well' then grow() end
save(KEYS[4], pair, KEPT_SECONDS)
save(KEYS[5], tenant, KEPT_SECONDS)
save(KEYS[6], host, KEPT_SECONDS)
redis.call('ZADD', KEYS[7], exactly(now), member)
keep(KEYS[7], KEPT_SECONDS)
if pair.open_until == was then return '' end
return pair.open_until > 0 and 'open' or 'closed'
"""

_STANDING = """
local found = {}
for _, member in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, ARGV[2] - 1)) do
  local key = ARGV[3] .. member
  local row = redis.call('HMGET', key, 'limit', 'open_until', 'probe_until', 'throttled_until', 'duration')
  for i = 1, 5 do row[i] = row[i] or '0' end
  row[6] = redis.call('ZCOUNT', key .. ':under', '(' .. exactly(now), '+inf')
  row[7], row[8] = member, exactly(now)
  found[#found + 1] = row
end
return found
"""

_HEAD = "\n".join(f"local {name} = {value!r}" for name, value in _NUMBERS.items())
_SERVER, _, _STATE = _SHARED.partition("\n-- ")

ENTER = _HEAD + _SHARED + _ENTER
"""ARGV: time, jitter, token, seconds to hold, pair, the five limits ('' for no rate). Returns {'', '1' for a probe}, or
{why, seconds, limit}.
"""

LEAVE = _HEAD + _SHARED + _LEAVE
"""ARGV: time, token, pair, limit per host, how it went, seconds, Retry-After or ''.

Returns what the breaker has become by it, or '' if nothing else.
"""

STANDING = _SERVER + _STANDING
"""KEYS: all pairs; ARGV: time, how many, what stands before a pair in its key. Returns a row per pair."""
