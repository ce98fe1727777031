# Interpreters, databases and tools that no other script has.
set -u
cd /tmp
sqlite3 db.sqlite "pragma journal_mode=wal; create table t(a int, b text); insert into t values (1,'x'),(2,'y'); select count(*), max(b) from t;"
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 10000' db.sqlite "insert into t values ($i+10, 'p')" & done; wait
sqlite3 db.sqlite "select count(*) from t; pragma integrity_check;"
ruby -e 'puts RUBY_VERSION[0]; puts [1,2,3].sum; Thread.new { puts "thread" }.join; puts `echo sub`; r,w = IO.pipe; fork { w.puts "forked" }; Process.wait; puts r.gets; trap("USR1") { puts "usr1" }; Process.kill("USR1", $$); sleep 0.1; require "socket"; s = TCPServer.new("127.0.0.1", 0); c = TCPSocket.new("127.0.0.1", s.addr[1]); a = s.accept; a.puts "net"; puts c.gets; puts File.stat("/tmp").directory?'
php -r 'echo PHP_MAJOR_VERSION, "\n", array_sum([1,2,3]), "\n", trim(shell_exec("echo shell")), "\n", strlen(file_get_contents("/etc/hosts")) > 0, "\n", gethostbyname("localhost"), "\n"; $s = stream_socket_server("tcp://127.0.0.1:7995"); $c = stream_socket_client("tcp://127.0.0.1:7995"); fwrite($c, "net\n"); echo fgets(stream_socket_accept($s));'
php -S 127.0.0.1:7996 -t /tmp > /dev/null 2>&1 & server=$!
echo '<?php echo "served ", getmypid() > 0;' > /tmp/i.php
for i in $(seq 100); do curl -sf http://127.0.0.1:7996/i.php && break; sleep 0.1; done; echo; kill $server; wait $server 2>/dev/null
if [ "$(id -u)" = 0 ]; then user='-u nobody'; else user=; fi
memcached $user -l 127.0.0.1 -p 11999 & server=$!
for i in $(seq 100); do printf 'set k 0 0 5\r\nvalue\r\nget k\r\nquit\r\n' | nc -w 2 127.0.0.1 11999 > mc.out 2>/dev/null && [ -s mc.out ] && break; sleep 0.1; done
tr -d '\r' < mc.out; kill $server; wait $server 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
mkdir -p www; echo secure > www/page; cd www; openssl s_server -quiet -accept 7997 -cert ../cert.pem -key ../key.pem -WWW > /dev/null 2>&1 & server=$!; cd ..
for i in $(seq 100); do curl -s --cacert cert.pem https://localhost:7997/page && break; sleep 0.1; done; kill $server; wait $server 2>/dev/null
mkdir -p src/a src/b; echo 1 > src/a/f; ln -s a/f src/l; ln src/a/f src/b/h; rsync -aH --stats src/ dst/ | grep -E 'files transferred|files:' | cut -c1-40; readlink dst/l; stat -c %h dst/a/f
busybox sh -c 'echo bb | busybox sed s/b/B/; busybox seq 3 | busybox tail -1; busybox nproc > /dev/null; busybox free | busybox awk "NR==1{print \$1}"; busybox ps | busybox grep -c "busybox ps"; busybox df / | busybox wc -l; busybox nslookup localhost 127.0.0.1 >/dev/null 2>&1; busybox wget -q -O- http://127.0.0.1:1/ 2>/dev/null; echo "wget $?"'
lsof -p $$ -a -d cwd | awk 'NR==2{print $4,$NF}'; lsof -a -p $$ -d 255 | awk 'NR==2{print $4,$NF}'
TERM=xterm htop --version | head -1 | cut -c1-4; curl -s file:///etc/hosts | wc -l; lscpu | grep -cE '^(Architecture|CPU\(s\))'; nproc | grep -c '[1-9]'
