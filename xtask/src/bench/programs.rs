//! Real programs from the Debian image, timed inside the container, its start excluded.

use std::fs;

use anyhow::{Context, Result};
use caisson_images::Overlay;

use super::Bench;
use super::bundle::Bundle;
use super::lifecycle::force_delete;

/// In how many rounds they are run.
pub(super) const ROUNDS: usize = 3;

/// Marks the line that carries the time.
const MARK: &str = "nanoseconds-taken ";

/// A program: what to do first, and what is timed (both bash).
pub(super) struct Program {
    pub(super) name: &'static str,
    prepare: &'static str,
    timed: &'static str,
}

/// In the order of the page.
pub(super) const PROGRAMS: &[Program] = &[
    Program {
        name: "compile (make -j2, gcc, 24 files)",
        prepare: r#"mkdir /tmp/c && cd /tmp/c
for n in $(seq 24); do
  printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint f%d(int x) { char b[64]; snprintf(b, 64, "%%d", x); return atoi(b) + %d; }\n' $n $n > f$n.c
done
{ seq 24 | sed 's/.*/int f&(int);/'; echo 'int main(void) { return f1(-2) + 1; }'; } > main.c
printf 'OBJECTS = main.o %s\nprog: $(OBJECTS)\n\tgcc -o $@ $(OBJECTS)\n' "$(seq -s ' ' -f 'f%.0f.o' 24)" > Makefile"#,
        timed: "make -s -j2 CFLAGS=-O1 && ./prog",
    },
    Program {
        name: "python3 (imports, JSON, 20 subprocesses)",
        prepare: "cd /tmp",
        timed: r#"python3 -c '
import json, subprocess, sqlite3, ssl, asyncio, threading
data = [{"k%d" % i: list(range(i % 50))} for i in range(20000)]
assert json.loads(json.dumps(data)) == data
for _ in range(20): subprocess.run(["/bin/true"], check=True)
'"#,
    },
    Program {
        name: "git (init, add, commit, clone of 2,000 files)",
        prepare: r#"mkdir /tmp/g && cd /tmp/g
for d in $(seq 40); do mkdir d$d; for f in $(seq 50); do echo "$d $f" > d$d/f$f; done; done
git config --global user.email bench@localhost; git config --global user.name bench"#,
        timed: "git init -q . && git add . && git commit -q -m all && git clone -q /tmp/g /tmp/clone && git status > /dev/null",
    },
    Program {
        name: "tar and gzip of /usr/lib/python3*",
        prepare: "cd /tmp",
        timed: "tar -cf - /usr/lib/python3 /usr/lib/python3.11 2> /dev/null | gzip -1 > t.gz && mkdir x && tar -xzf t.gz -C x",
    },
    Program {
        name: "find and stat of the whole image",
        prepare: "cd /",
        timed: "find / -xdev -ls > /dev/null; find /usr -xdev -name '*.so' -exec stat -c %s {} + > /dev/null",
    },
    Program {
        name: "redis (redis-benchmark, 40,000 requests)",
        prepare: "cd /tmp; redis-server --save '' --daemonize yes > /dev/null; until redis-cli ping > /dev/null 2>&1; do sleep 0.05; done",
        timed: "redis-benchmark -q -c 20 -n 20000 -t get,set > /dev/null",
    },
    Program {
        name: "nginx (1,500 requests by curl)",
        prepare: r#"cd /tmp; mkdir www; echo hello > www/index.html
echo 'events {} http { server { listen 127.0.0.1:8080; root /tmp/www; } }' > nginx.conf
nginx -c /tmp/nginx.conf; until curl -s -o /dev/null http://127.0.0.1:8080/; do sleep 0.05; done"#,
        timed: "curl -s -o /dev/null 'http://127.0.0.1:8080/index.html?[1-1500]'",
    },
    Program {
        name: "node (JSON, 300 HTTP requests to itself)",
        prepare: "cd /tmp",
        timed: r#"node -e '
const http = require("http");
let text = "x"; for (let i = 0; i < 200; i++) text = JSON.stringify(JSON.parse(JSON.stringify({ text: "y".repeat(20000), i })));
const server = http.createServer((request, response) => response.end("ok")).listen(0, "127.0.0.1", async () => {
  for (let i = 0; i < 300; i++) await new Promise((done, failed) =>
    http.get({ port: server.address().port, host: "127.0.0.1" }, r => { r.resume(); r.on("end", done); }).on("error", failed));
  process.exit(0);
});'"#,
    },
    Program {
        name: "postgres (initdb, start, pgbench of 400 transactions)",
        prepare: "mkdir /tmp/pg && chown postgres /tmp/pg && cd /tmp/pg",
        timed: r#"su postgres -c 'set -e; PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
initdb -N -D /tmp/pg/data > /dev/null
pg_ctl -s -w -D /tmp/pg/data -o "-k /tmp/pg -c listen_addresses=" -l /tmp/pg/log start
pgbench -h /tmp/pg -i -q -s 1 postgres 2> /dev/null > /dev/null
pgbench -h /tmp/pg -c 4 -t 100 postgres 2> /dev/null > /dev/null
pg_ctl -s -w -m fast -D /tmp/pg/data stop'"#,
    },
    Program {
        name: "java (compile and run, 4 threads)",
        prepare: r#"cd /tmp; cat > Main.java <<'END'
import java.util.stream.LongStream;
public class Main {
    public static void main(String[] arguments) throws Exception {
        Thread[] threads = new Thread[4];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = new Thread(() -> {
                if (LongStream.range(0, 5_000_000).filter(n -> n % 7 == 3).count() == 0) System.exit(1);
            });
            threads[i].start();
        }
        for (Thread thread : threads) thread.join();
    }
}
END"#,
        timed: "java Main.java",
    },
];

/// One run of every program in every runtime.
pub(super) fn round(bench: &mut Bench, round: usize) -> Result<()> {
    for program in PROGRAMS {
        for index in bench.order(round) {
            bench.check_interrupt()?;
            let name = bench.runtimes[index].name;
            if bench.samples.has_failed(program.name, name) {
                continue;
            }
            match timed(bench, index, program) {
                Ok(value) => bench.samples.add(program.name, name, value),
                Err(error) => bench.samples.fail(program.name, name, &error),
            }
        }
    }
    Ok(())
}

/// Runs it in a container with a tree of its own; nanoseconds.
fn timed(bench: &Bench, index: usize, program: &Program) -> Result<f64> {
    let runtime = &bench.runtimes[index];
    let directory = tempfile::Builder::new()
        .prefix("program-")
        .tempdir_in(bench.scratch.path())?;
    let overlay = Overlay::mount(&bench.debian, directory.path())?;
    let guest = bench.scratch.path().join("guest");
    let bundle = Bundle::writable(overlay.root(), &guest, directory.path().join("bundle"))?;
    let script = format!(
        "set -e\n{}\nstart=$(date +%s%N)\n{}\nend=$(date +%s%N)\necho \"{MARK}$((end - start))\"\n",
        program.prepare, program.timed
    );
    let id = format!("program-{}", runtime.name);
    // A script that hangs must not hold up everything: `timeout` is the container's init.
    let bundle_path = bundle.with(&["timeout", "-k", "5", "90", "bash", "-c", &script])?;
    let outcome = runtime.run(bundle_path, &id);
    if outcome.is_err() {
        force_delete(runtime, &id);
    }
    let text = outcome?;
    let value = text.lines().find_map(|line| line.strip_prefix(MARK));
    let value = value
        .with_context(|| format!("it printed no time: {text}"))?
        .parse()
        .context("not a number")?;
    drop(overlay);
    // Upper layers are as large as what was written.
    fs::remove_dir_all(directory.path().join("upper")).context("cannot remove the upper layer")?;
    Ok(value)
}
