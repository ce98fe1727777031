# node: http and worker_threads, child processes, files.
cd /tmp
cat > t.js <<'END'
const http = require('http'), { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const fs = require('fs'), os = require('os'), cp = require('child_process'), net = require('net');
if (!isMainThread) { let s = 0; for (let i = 0; i < 1e6; i++) s += i % workerData; parentPort.postMessage(s); return; }
(async () => {
  const server = http.createServer((q, r) => r.end('path ' + q.url)).listen(0, '127.0.0.1');
  await new Promise(r => server.on('listening', r));
  const get = p => new Promise((r, j) => http.get({ port: server.address().port, path: p, host: '127.0.0.1' }, m => { let b = ''; m.on('data', d => b += d); m.on('end', () => r(b)); }).on('error', j));
  console.log((await Promise.all([...Array(100).keys()].map(i => get('/' + i)))).length, await get('/x')); server.close();
  const work = n => new Promise((r, j) => new Worker(__filename, { workerData: n }).on('message', r).on('error', j));
  console.log(await Promise.all([2, 3, 5, 7].map(work)));
  console.log(cp.execSync('echo child').toString().trim(), cp.spawnSync('false').status);
  try { cp.execFileSync('/nonexistent'); } catch (e) { console.log(e.code); }
  const unix = net.createServer(c => c.end('unix')).listen('/tmp/node.sock'); await new Promise(r => unix.on('listening', r));
  console.log(await new Promise(r => net.connect('/tmp/node.sock').on('data', d => r(d.toString())))); unix.close();
  fs.mkdirSync('/tmp/n/a/b', { recursive: true }); await Promise.all([...Array(200).keys()].map(i => fs.promises.writeFile('/tmp/n/' + i, 'x'))); console.log(fs.readdirSync('/tmp/n').length);
  await new Promise(r => { const w = fs.watch('/tmp/n/a', (t, f) => { console.log('watch', f); w.close(); r(); }); fs.writeFileSync('/tmp/n/a/new', ''); });
  fs.rmSync('/tmp/n', { recursive: true }); console.log(fs.existsSync('/tmp/n'), os.userInfo().username, os.hostname(), os.cpus().length > 0, os.totalmem() > 0);
  try { fs.readFileSync('/etc/shadow'); console.log('read'); } catch (e) { console.log(e.code); }
  fs.writeFileSync('/tmp/child.js', 'process.send("ipc")'); const k = cp.fork('/tmp/child.js'); console.log(await new Promise(r => k.on('message', r))); k.kill();
  setTimeout(() => { console.log('timer'); process.exit(4); }, 20);
})();
END
node t.js; echo "exit $?"
node -e 'process.on("SIGTERM", () => { console.log("term"); process.exit(0) }); process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 1000)'
echo 'console.log("stdin", 1 + 1)' | node -
