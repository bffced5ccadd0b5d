#!/bin/sh
# Starts Redis with RedisJSON, and no other module, in either image line: redis/redis-stack-server has its programs
# under /opt/redis-stack, redis:8 has its modules under /usr/local/lib/redis/modules.
# REDIS_ARGS is appended, so that `REDIS_ARGS="--maxmemory 4gb"` works as in the stack image.
set -eu
PATH=$PATH:/opt/redis-stack/bin
for module in /opt/redis-stack/lib/rejson.so /usr/local/lib/redis/modules/rejson.so; do
  if [ -f "$module" ]; then
    # REDIS_ARGS is a list of words
    # shellcheck disable=SC2086
    exec redis-server /etc/redis/redis.conf --loadmodule "$module" ${REDIS_ARGS:-}
  fi
done
echo "This image has no RedisJSON (rejson.so). Allowed: redis/redis-stack-server or redis:8 and later." \
  "Next: set REDIS_IMAGE to one of them." >&2
exit 1
