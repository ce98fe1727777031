# python3: subprocess, threading, asyncio, multiprocessing, sqlite3, ssl.
cd /tmp
cat > t.py <<'END'
import asyncio, concurrent.futures, mmap, multiprocessing, os, pathlib, queue, select, selectors, shutil, signal
import socket, sqlite3, ssl, subprocess, sys, tempfile, threading, time

def square(n): return n * n
def child(q, n): q.put((n, os.getppid() != 0))
def locked(lock, value):
    for _ in range(500):
        with lock: value.value += 1

def main():
    print(subprocess.run(["tr", "a-z", "A-Z"], input="subprocess", text=True, capture_output=True).stdout)
    print(subprocess.run("exit 3", shell=True).returncode, subprocess.run(["sh", "-c", "kill -9 $$"]).returncode)
    try: subprocess.run(["/nonexistent"])
    except FileNotFoundError as e: print(e)
    try: subprocess.run(["/etc/passwd"])
    except PermissionError as e: print(e)
    p1 = subprocess.Popen(["seq", "1000"], stdout=subprocess.PIPE)
    p2 = subprocess.Popen(["wc", "-l"], stdin=p1.stdout, stdout=subprocess.PIPE); print(p2.communicate()[0].strip())
    print(sum(subprocess.Popen(["true"]).wait() for _ in range(50)))
    try: subprocess.run(["sleep", "9"], timeout=0.2)
    except subprocess.TimeoutExpired: print("timeout")
    print(subprocess.run(["pwd"], cwd="/usr", capture_output=True, text=True, start_new_session=True).stdout.strip())

    q = queue.Queue(); ts = [threading.Thread(target=lambda i=i: q.put(square(i))) for i in range(50)]
    [t.start() for t in ts]; [t.join() for t in ts]; print(sum(q.queue))
    with concurrent.futures.ThreadPoolExecutor(8) as ex: print(sum(ex.map(lambda n: len(open("/etc/passwd").read()) > 0, range(500))))

    async def server():
        async def echo(r, w):
            w.write((await r.readline()).upper()); await w.drain(); w.close()
        s = await asyncio.start_server(echo, "127.0.0.1", 0); port = s.sockets[0].getsockname()[1]
        async def ask(i):
            r, w = await asyncio.open_connection("127.0.0.1", port); w.write(b"message %d\n" % i); return await r.read()
        answers = await asyncio.gather(*(ask(i) for i in range(100)))
        u = await asyncio.start_unix_server(echo, "/tmp/py.sock"); r, w = await asyncio.open_unix_connection("/tmp/py.sock")
        w.write(b"unix\n"); print(await r.read())
        proc = await asyncio.create_subprocess_exec("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        print((await proc.communicate(b"async child"))[0], proc.returncode)
        s.close(); u.close(); return len(set(answers))
    print(asyncio.run(server()))

    for method in ("fork", "spawn", "forkserver"):
        ctx = multiprocessing.get_context(method)
        with ctx.Pool(4) as pool: print(method, sum(pool.map(square, range(100))))
        mq = ctx.Queue(); ps = [ctx.Process(target=child, args=(mq, i)) for i in range(4)]
        [p.start() for p in ps]; print(sorted(mq.get() for _ in ps)); [p.join() for p in ps]
        lock, value = ctx.Lock(), ctx.Value("i", 0); ps = [ctx.Process(target=locked, args=(lock, value)) for _ in range(3)]
        [p.start() for p in ps]; [p.join() for p in ps]; print(value.value)
    from multiprocessing import shared_memory
    shm = shared_memory.SharedMemory(create=True, size=1000); shm.buf[0] = 7; print(shared_memory.SharedMemory(shm.name).buf[0]); shm.unlink()

    db = sqlite3.connect("/tmp/t.db"); db.execute("pragma journal_mode=wal"); db.execute("create table t(a, b)")
    with db: db.executemany("insert into t values(?, ?)", ((i, str(i)) for i in range(10000)))
    other = sqlite3.connect("/tmp/t.db"); print(other.execute("select count(*), sum(a) from t").fetchone()); other.close(); db.close()

    subprocess.run("openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=localhost -days 2".split(), stderr=subprocess.DEVNULL, check=True)
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); ctx.load_cert_chain("c.pem", "k.pem")
    listener = socket.create_server(("127.0.0.1", 0))
    def tls():
        c, _ = listener.accept()
        with ctx.wrap_socket(c, server_side=True) as s: s.sendall(s.recv(100)[::-1])
    t = threading.Thread(target=tls); t.start()
    client = ssl.create_default_context(cafile="c.pem")
    with client.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="localhost") as s:
        s.sendall(b"over tls"); print(s.recv(100), s.version())
    t.join()

    hits = []; signal.signal(signal.SIGALRM, lambda *a: hits.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.05); time.sleep(0.2); print(hits)
    a, b = socket.socketpair(); socket.send_fds(a, [b"f"], [os.open("/etc/hostname" if os.path.exists("/etc/hostname") else "/etc/passwd", os.O_RDONLY)])
    print(len(socket.recv_fds(b, 10, 2)[1]))
    with tempfile.TemporaryFile() as f: f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); m[:5] = b"mmaps"; print(os.pread(f.fileno(), 5, 0))
    print(sorted(p.name for p in pathlib.Path("/").iterdir() if p.name in ("etc", "proc", "usr")), os.getuid(), os.getlogin() if False else "")
    print(os.cpu_count() > 0, len(os.listdir("/proc/self/fd")) < 20, os.path.realpath("/proc/self/exe"))
    pid = os.posix_spawn("/bin/true", ["true"], {}); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    r, w = os.pipe(); ep = select.epoll(); ep.register(r, select.EPOLLIN); os.write(w, b"x"); print(len(ep.poll(1)))
    fd = os.memfd_create("m"); os.write(fd, b"memory"); print(os.pread(fd, 6, 0)); print(os.sendfile(w, fd, 0, 6))
    shutil.copytree("/etc/skel", "/tmp/skel"); print(sorted(os.listdir("/tmp/skel")))
    print(os.get_terminal_size.__name__, os.sched_getaffinity(0) != set(), os.getpriority(os.PRIO_PROCESS, 0))

if __name__ == "__main__": main()
END
python3 t.py
python3 -c 'import sys; sys.exit(5)'; echo "exit $?"
