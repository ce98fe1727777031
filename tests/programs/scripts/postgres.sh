# postgres: initdb, start, pgbench. The server refuses to run as root, so it is postgres who does.
bin=$(ls -d /usr/lib/postgresql/*/bin); export PATH=$bin:$PATH
install -d -o postgres -g postgres /tmp/pg
run() { su postgres -c "PATH=$PATH; cd /tmp/pg; $*"; }
initdb -D /tmp/pg/none 2>&1 | head -1
run initdb -D /tmp/pg/data -A trust > /tmp/initdb.log 2>&1; echo "initdb $?"; stat -c '%U %a' /tmp/pg/data
run "pg_ctl -D /tmp/pg/data -o '-k /tmp/pg -c listen_addresses=127.0.0.1' -l /tmp/pg/log -w start" > /dev/null; echo "start $?"
run psql -h /tmp/pg -Atc "'select 6*7'"; run psql -h 127.0.0.1 -Atc "'show server_encoding'"
run psql -h /tmp/pg -Atc "'create table t as select generate_series(1,100000) n; select count(*), sum(n) from t'" | tail -1
run pgbench -h /tmp/pg -i -s 1 postgres > /dev/null 2>&1; echo "pgbench -i $?"
run pgbench -h /tmp/pg -c 4 -j 2 -t 200 postgres 2>/dev/null | grep 'actually processed'
run psql -h /tmp/pg -Atc "'select count(*) from pgbench_history'"
run pgbench -h 127.0.0.1 -S -c 4 -j 2 -t 500 postgres 2>/dev/null | grep 'actually processed'
run "psql -h /tmp/pg -Atc 'set max_parallel_workers_per_gather=2' -c 'select count(*) from pgbench_accounts'" | tail -1
run psql -h /tmp/pg -Atc "'vacuum analyze'" -c checkpoint
run pg_dump -h /tmp/pg -t t postgres | wc -l
run pg_ctl -D /tmp/pg/data -m fast -w stop > /dev/null; echo "stop $?"; pgrep postgres | wc -l; ipcs -m | grep -c postgres; true
