# A message bus, whose clients say who they are by credentials of their sockets.
set -u
mkdir -p /tmp/bus; cat > /tmp/bus/conf <<'X'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path=/tmp/bus/socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>
X
dbus-daemon --config-file=/tmp/bus/conf --fork --print-pid > /tmp/bus/pid
export DBUS_SESSION_BUS_ADDRESS=unix:path=/tmp/bus/socket
call() { dbus-send --bus=$DBUS_SESSION_BUS_ADDRESS --dest=org.freedesktop.DBus --print-reply=literal /org/freedesktop/DBus org.freedesktop.DBus."$@" | tr -s ' '; }
call ListNames | grep -c org.freedesktop.DBus
call GetConnectionUnixUser string:org.freedesktop.DBus
call GetConnectionUnixProcessID string:org.freedesktop.DBus | grep -c "$(cat /tmp/bus/pid)"
dbus-monitor "interface='org.test.I'" > /tmp/bus/seen & monitor=$!
for i in $(seq 50); do call ListNames | grep -q ':1\.' && [ -s /tmp/bus/seen ] && break; sleep 0.1; done
dbus-send /org/test org.test.I.Hello string:world
for i in $(seq 50); do grep -q world /tmp/bus/seen && break; sleep 0.1; done
grep -o 'string "world"' /tmp/bus/seen
kill $monitor "$(cat /tmp/bus/pid)"; wait $monitor 2>/dev/null
# sd_notify(3), by hand: a datagram with credentials to a path.
python3 - <<'P'
import os, socket, struct
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind('/tmp/notify'); server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
pid = os.fork()
if pid == 0:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendmsg([b'READY=1'], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack('3i', os.getpid(), os.getuid(), os.getgid()))], 0, '/tmp/notify')
    s.sendmsg([b'STATUS=on'], [], 0, '/tmp/notify')
    os._exit(0)
for _ in range(2):
    data, control, _, _ = server.recvmsg(100, 100)
    got = struct.unpack('3i', control[0][2])
    print(data.decode(), got[0] == pid, got[1:] == (os.getuid(), os.getgid()))
os.waitpid(pid, 0)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); log.bind('/tmp/log')
P
systemd-notify --version > /dev/null 2>&1; python3 -c '
import asyncio
async def main():
    done = asyncio.Event()
    async def serve(r, w):
        w.write((await r.read(100)).upper()); await w.drain(); w.close(); done.set()
    server = await asyncio.start_unix_server(serve, "/tmp/aio")
    r, w = await asyncio.open_unix_connection("/tmp/aio")
    w.writelines([b"asyn", b"cio"]); print((await r.read(100)).decode()); await done.wait(); server.close()
asyncio.run(main())'
python3 -c '
import multiprocessing as m
with m.Pool(2) as p: print(sum(p.map(int, range(100))))
q = m.Queue(); w = m.Process(target=q.put, args=("queued",)); w.start(); print(q.get()); w.join()
a = m.Array("i", 3); l = m.Lock()
with l: a[1] = 5
print(list(a))'
