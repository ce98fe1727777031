# nginx serving to a client in the same pod.
mkdir -p /tmp/www && echo '<h1>page</h1>' > /tmp/www/index.html && head -c 5000000 /dev/zero > /tmp/www/big
cat > /tmp/nginx.conf <<'END'
user www-data; worker_processes 2; pid /tmp/nginx.pid; error_log /tmp/error.log;
events { worker_connections 256; }
http { access_log /tmp/access.log; sendfile on; server { listen 8080; listen unix:/tmp/n.sock; root /tmp/www; } }
END
nginx -t -c /tmp/nginx.conf 2>&1 | grep -v alert; nginx -c /tmp/nginx.conf; echo "start $?"
curl -s http://127.0.0.1:8080/; curl -s --unix-socket /tmp/n.sock http://pod/; curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:8080/none
curl -s http://127.0.0.1:8080/big | md5sum; curl -s -r 10-19 http://127.0.0.1:8080/big | wc -c
for i in $(seq 1 200); do echo "url=http://127.0.0.1:8080/"; echo "output=/dev/null"; done > urls; cd /tmp; curl -s -Z --parallel-max 20 -K - < <(for i in $(seq 1 200); do echo "url=http://127.0.0.1:8080/"; echo "output=/dev/null"; done); sleep 0.3; grep -c '"GET / HTTP' access.log
ps -o user= -C nginx | sort | uniq -c | sed 's/  */ /g'
nginx -c /tmp/nginx.conf -s reload; sleep 0.5; curl -s http://127.0.0.1:8080/; nginx -c /tmp/nginx.conf -s quit; sleep 0.5; pgrep nginx | wc -l
curl -s http://127.0.0.1:8080/; echo "stopped $?"
