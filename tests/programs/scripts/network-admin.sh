# With CAP_NET_ADMIN the pod's own network may be changed.
set -u
ip link set lo down; echo "down $?"; ip -o link show lo | grep -o 'state DOWN'
ip link set dev lo up; echo "up $?"; ip -o link show lo | grep -oE '<[A-Z,_]*>'
ip link set lo mtu 1400; echo "mtu $?"; cat /sys/class/net/lo/mtu
ip addr add 10.9.9.9/32 dev lo; echo "add $?"; ip -4 -o addr show lo | tr -s ' ' | cut -d' ' -f3,4
ping -c1 -W2 10.9.9.9 | grep -o '1 received'
ip -6 addr add fd00::9/128 dev lo; echo "six $?"; ip -6 -o addr show lo | tr -s ' ' | cut -d' ' -f3,4
ip route add 10.8.0.0/16 dev lo; echo "route $?"; ip route show
ip route get 10.8.1.1 | head -1 | tr -s ' '
ip route del 10.8.0.0/16; echo "gone $?"; ip route show | wc -l
ip addr add 10.9.9.9/32 dev lo; echo "again $?"
ip addr del 10.9.9.9/32 dev lo; echo "del $?"; ip addr del 10.9.9.9/32 dev lo; echo "del $?"
ip link set nothing up; echo "nothing $?"
python3 -c '
import socket
s = socket.socket()
for name, level, option in [("mark", 1, 36), ("priority", 1, 12), ("force", 1, 32), ("transparent", 0, 19)]:
    s.setsockopt(level, option, 7 if option == 12 else 1); print(name, s.getsockopt(level, {32: 7}.get(option, option)))'
setpriv --inh-caps=-all --bounding-set=-net_admin --reuid=1000 --clear-groups ip link set lo down; echo "user $?"
