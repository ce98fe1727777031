# nginx serving to the host, until the client asks for /done.
mkdir -p /tmp/www && echo '<h1>page for the host</h1>' > /tmp/www/index.html
cat > /tmp/nginx.conf <<'END'
user www-data; worker_processes 1; pid /tmp/nginx.pid; error_log /tmp/error.log;
events { worker_connections 64; }
http { access_log /tmp/access.log; server { listen 8080; root /tmp/www; } }
END
nginx -c /tmp/nginx.conf; echo "start $?"
ip -o -4 addr show eth0 | awk '{print $2}'
for i in $(seq 1 300); do grep -q /done /tmp/access.log && break; sleep 0.1; done
grep -c /done /tmp/access.log; nginx -c /tmp/nginx.conf -s stop
