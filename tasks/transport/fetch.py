"""What is asked of Redis to fetch messages: one script call that takes several, and what waits before it when idle."""

from collections.abc import Sequence

Word = str | bytes | int | float
Command = tuple[Word, ...]

# Takes up to ARGV[1] messages and answers key number (from 0), message, key number, message, …
# KEYS: the hash and the index of unacknowledged messages, a wake key per queue, then for each priority step a list per
# queue. ARGV: limit; whether the queue that was taken from goes to the end of the order (as kombu's round robin does
# after each BRPOP); the number of queues; whether tokens are kept; and per queue whether its messages are booked.
# Booked is as kombu books, so that its own consumers can restore it: [message, exchange, routing key], the message in
# the very bytes that came, since cjson would not give them back alike. The score is the server's clock.
SCRIPT = """
local limit, rotate, queues, tokens = tonumber(ARGV[1]), ARGV[2] == '1', tonumber(ARGV[3]), ARGV[4] == '1'
local lists = 2 + queues
local steps = (#KEYS - lists) / queues
local time = redis.call('TIME')
local now = string.format('%d.%06d', time[1], time[2])
local share = (rotate and queues > 1) and 1 or limit
local found, taken, order = {}, 0, {}
for number = 1, queues do order[number] = number end

local function book(message)
  local properties = cjson.decode(message).properties
  local to = properties.delivery_info
  local booked = '[' .. message .. ', ' .. cjson.encode(to.exchange) .. ', ' .. cjson.encode(to.routing_key) .. ']'
  redis.call('ZADD', KEYS[2], now, properties.delivery_tag)
  redis.call('HSET', KEYS[1], properties.delivery_tag, booked)
end

for step = 0, steps - 1 do
  local empty, place = {}, 1
  while place <= queues and taken < limit do
    local queue = order[place]
    local number = step * queues + queue
    local messages = not empty[queue] and redis.call('RPOP', KEYS[lists + number], math.min(share, limit - taken))
    if messages then
      for _, message in ipairs(messages) do
        if ARGV[4 + queue] == '1' then pcall(book, message) end
        found[#found + 1] = number - 1
        found[#found + 1] = message
        taken = taken + 1
      end
      if rotate then
        table.remove(order, place)
        order[queues] = queue
      end
      place = 1
    else
      empty[queue] = true
      place = place + 1
    end
  end
end

if tokens and taken == limit then
  for queue = 1, queues do
    for step = 0, steps - 1 do
      if redis.call('EXISTS', KEYS[lists + step * queues + queue]) == 1 then
        redis.call('ZADD', KEYS[2 + queue], 0, '1')
        redis.call('PEXPIRE', KEYS[2 + queue], 3600000)
        break
      end
    end
  end
end
return found
"""


def take(
    *,
    unacked: Sequence[str],
    wakes: Sequence[str],
    lists: Sequence[str],
    booked: Sequence[bool],
    limit: int,
    rotate: bool,
    tokens: bool,
) -> Command:
    """The script call; `unacked` are the hash and its index, the others as the script describes them.

    Sent whole each time rather than by its digest: the server compiles it once, and nothing can be missing after a
    restart or a failover.
    """
    keys = (*unacked, *wakes, *lists)
    flags = (int(rotate), len(wakes), int(tokens), *map(int, booked))
    return ("EVAL", SCRIPT, len(keys), *keys, limit, *flags)


def wait_for_token(wakes: Sequence[str], seconds: float) -> Command:
    """Blocks until a publisher tells of messages, and takes none of them: what is taken must be booked."""
    return ("BZPOPMIN", *wakes, seconds)
