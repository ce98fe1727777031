# ip, ss, ping and what C libraries say of the network; compared word for word where nothing varies.
set -u
ip -o link show lo | tr -s ' ' | cut -d' ' -f1-9
ip link show dev lo | head -2
ip addr show lo | grep -v valid_lft
ip -4 -o addr | tr -s ' '
ip -j -4 addr show lo | tr ',' '\n' | grep -E 'ifname|local'
ip route get 127.0.0.1 | head -1
ip -6 route get ::1 | head -1
ip route show table local | head -3
ip rule
ip neigh; echo "neigh $?"
ip link show nothing; echo "nothing $?"
ip link set lo mtu 1500; echo "set $?"
ip addr add 10.9.9.9/32 dev lo; echo "add $?"
ip netns list; echo "netns $?"
timeout 0.3 ip monitor link; echo "monitor $?"
python3 - <<'P' &
import socket, time
t = socket.socket(); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
t.bind(('127.0.0.1', 7891)); t.listen(5)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', 7892))
x = socket.socket(socket.AF_UNIX); x.bind('/tmp/ss.sock'); x.listen(1)
c = socket.create_connection(('127.0.0.1', 7891))
open('/tmp/ready', 'w').close()
time.sleep(20)
P
server=$!
for i in $(seq 100); do [ -e /tmp/ready ] && break; sleep 0.05; done
ss -Htln | tr -s ' ' | grep 7891
ss -Htlnp | grep -c "python3.*pid=$server"
ss -Huln | tr -s ' ' | grep 7892
ss -Htn state established '( sport = :7891 )' | tr -s ' ' | cut -d' ' -f1-3
ss -Hxl | grep -c /tmp/ss.sock
ss -s | head -1 | cut -c1-6
ss -Htlni | grep -c 7891
ss -Htlne | grep -o 'uid:[0-9]*'
cat /proc/net/dev | wc -l
grep -c 1ED3 /proc/net/tcp
kill $server; wait $server 2>/dev/null
ping -c1 -W2 127.0.0.1 | grep -o '1 received'
ping -6 -c1 -W2 ::1 | grep -o '1 received'
traceroute -n -m1 127.0.0.1 | tail -1 | tr -s ' ' | cut -d' ' -f3
traceroute -I -n -m1 127.0.0.1 | tail -1 | tr -s ' ' | cut -d' ' -f3
getent hosts localhost | tr -s ' '
getent ahostsv4 pod | head -1 | tr -s ' '
hostname; cat /sys/class/net/lo/operstate /sys/class/net/lo/mtu
python3 -c 'import socket; print(socket.if_nameindex()[0], socket.getaddrinfo("localhost", 80, socket.AF_INET, socket.SOCK_STREAM)[0][4])'
busybox ip addr show lo | grep -c 127.0.0.1
busybox ifconfig lo | grep -o '127.0.0.1'
busybox netstat -tln | head -1
busybox route -n | head -1
socat -u OPEN:/etc/hosts UNIX-SENDTO:/tmp/none; echo "socat $?"
