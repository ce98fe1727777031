# redis-server with redis-benchmark, over TCP and a socket file, with persistence.
cd /tmp && mkdir -p r && redis-server --port 6379 --unixsocket /tmp/r/s --dir /tmp/r --save '' --appendonly yes --daemonize yes --logfile /tmp/r/log > /dev/null
for i in $(seq 1 100); do redis-cli ping > /dev/null 2>&1 && break; sleep 0.1; done
redis-cli ping; redis-cli set k v; redis-cli -s /tmp/r/s get k; redis-cli incrby n 41; redis-cli incr n
redis-benchmark -q -n 20000 -c 20 -t set,get,lpush --csv 2>/dev/null | cut -d, -f1
redis-benchmark -q -s /tmp/r/s -n 20000 -c 20 -P 16 -t set,get --csv 2>/dev/null | cut -d, -f1
redis-cli --pipe < <(for i in $(seq 1 5000); do echo "SET key$i $i"; done) 2>&1 | tail -1; redis-cli dbsize | grep -c '[0-9]'
redis-cli bgsave > /dev/null; for i in $(seq 1 50); do [ -f r/dump.rdb ] && break; sleep 0.1; done; ls r/dump.rdb
redis-cli bgrewriteaof | cut -c1-33; redis-cli shutdown nosave; sleep 0.3; redis-server --port 6379 --dir /tmp/r --appendonly yes --daemonize yes > /dev/null
for i in $(seq 1 100); do redis-cli get key5000 2>/dev/null | grep -q 5000 && break; sleep 0.1; done; redis-cli get key5000; redis-cli shutdown nosave; echo end
