//! The programs of the Debian image, one script each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use caisson_program_tests::{Pod, Program, Report};
use caisson_test_bundle::{Bundle, Config, Console, Container, Runtime, Step, User, run, runtimes};

fn agree(name: &'static str, user: User) {
    let program = Program::new(name, user);
    compare(&program, |runtime| program.run(runtime));
}

fn compare(program: &Program, mut one: impl FnMut(&Runtime) -> Report) {
    let runtimes = runtimes();
    let (reference, others) = runtimes.split_first().expect("a reference runtime");
    let expected = one(reference);
    for runtime in others {
        let got = one(runtime);
        program.assert_same(&expected, &got);
    }
}

macro_rules! programs {
    ($($test:ident: $name:literal, $user:ident;)*) => {$(
        #[test]
        fn $test() {
            agree($name, User::$user);
        }
    )*};
}

programs! {
    bash_as_root: "bash", Root;
    bash_as_a_user: "bash", Dev;
    coreutils_as_root: "coreutils", Root;
    coreutils_as_a_user: "coreutils", Dev;
    findutils: "findutils", Root;
    archives_as_root: "archives", Root;
    archives_as_a_user: "archives", Dev;
    python_as_root: "python", Root;
    python_as_a_user: "python", Dev;
    perl: "perl", Dev;
    git: "git", Dev;
    compile_as_root: "compile", Root;
    compile_as_a_user: "compile", Dev;
    accounts: "accounts", Root;
    sudo_as_a_user: "sudo", Dev;
    procps: "procps", Root;
    debug_as_root: "debug", Root;
    debug_as_a_user: "debug", Dev;
    redis: "redis", Dev;
    nginx: "nginx", Root;
    postgres: "postgres", Root;
    node: "node", Dev;
    java: "java", Dev;
    apt: "apt", Root;
    network_as_root: "network", Root;
    network_as_a_user: "network", Dev;
    ssh: "ssh", Root;
    terminals_as_root: "terminals", Root;
    terminals_as_a_user: "terminals", Dev;
    bus_as_root: "bus", Root;
    bus_as_a_user: "bus", Dev;
    interpreters_as_root: "interpreters", Root;
    interpreters_as_a_user: "interpreters", Dev;
}

/// nginx serves a client that is outside of the pod.
#[test]
fn nginx_serves_the_host() {
    let program = Program::new("nginx-outside", User::Root);
    compare(&program, |runtime| {
        let pod = Pod::new();
        let (bundle, mut config) = program.prepare(runtime);
        config.network(&pod.path());
        let address = pod.address.clone();
        // The script gives up after thirty seconds.
        let limit = Duration::from_secs(35);
        let client = thread::spawn(move || {
            let page = fetch(&address, "/", limit);
            if page.is_ok() {
                let _ = fetch(&address, "/done", limit);
            }
            page.unwrap_or_else(|problem| problem)
        });
        let mut outcome = run(runtime, &bundle, &config, program.limit);
        outcome.stdout.push_str(&client.join().expect("the client"));
        Report {
            runtime: runtime.name.clone(),
            outcome,
        }
    });
}

/// The pod's own network, changed by one who may.
#[test]
fn network_with_its_capability() {
    let program = Program::new("network-admin", User::Root);
    compare(&program, |runtime| {
        let (bundle, mut config) = program.prepare(runtime);
        config.grant("CAP_NET_ADMIN");
        let outcome = run(runtime, &bundle, &config, program.limit);
        Report {
            runtime: runtime.name.clone(),
            outcome,
        }
    });
}

/// The body of a page of the pod's server, once it serves.
fn fetch(address: &str, path: &str, limit: Duration) -> Result<String, String> {
    let start = Instant::now();
    while start.elapsed() < limit {
        let target = SocketAddr::new(address.parse().expect("an address"), 8080);
        if let Ok(mut stream) = TcpStream::connect_timeout(&target, Duration::from_secs(1)) {
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .expect("SO_RCVTIMEO");
            let mut answer = String::new();
            let asked = write!(stream, "GET {path} HTTP/1.0\r\nHost: pod\r\n\r\n");
            if asked.is_ok() && stream.read_to_string(&mut answer).is_ok() {
                return Ok(answer
                    .split_once("\r\n\r\n")
                    .map(|(_, body)| body.to_owned())
                    .unwrap_or(answer));
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(format!("no answer from {address} in {limit:?}"))
}

/// What is typed into an interactive bash, and what must come before each line. The prompt counts the
/// commands, so that no output is taken for that of another.
const SESSION: &[Step] = &[
    Step {
        expect: "p2> ",
        send: "tty; stty size\n",
    },
    Step {
        expect: "24 80",
        send: "",
    },
    // Suspended, listed, resumed in the background and killed.
    Step {
        expect: "p3> ",
        send: "sleep 100\n",
    },
    Step {
        expect: "sleep 100\r\n",
        send: "\x1a",
    },
    Step {
        expect: "Stopped",
        send: "",
    },
    Step {
        expect: "p4> ",
        send: "jobs\n",
    },
    Step {
        expect: "Stopped",
        send: "",
    },
    Step {
        expect: "p5> ",
        send: "bg\n",
    },
    Step {
        expect: "sleep 100 &",
        send: "",
    },
    Step {
        expect: "p6> ",
        send: "kill %1; wait; echo wai\"\"ted\n",
    },
    Step {
        expect: "waited",
        send: "",
    },
    Step {
        expect: "p7> ",
        send: "sleep 100\n",
    },
    Step {
        expect: "sleep 100\r\n",
        send: "\x03",
    },
    Step {
        expect: "p8> ",
        send: "echo status $?\n",
    },
    Step {
        expect: "status 130",
        send: "",
    },
    Step {
        expect: "p9> ",
        send: "cat\n",
    },
    Step {
        expect: "cat\r\n",
        send: "typed\n",
    },
    Step {
        expect: "typed\r\ntyped\r\n",
        send: "\x04",
    },
    Step {
        expect: "p10> ",
        send: "(sleep 0.1; echo piped) | cat | tr a-z A-Z\n",
    },
    Step {
        expect: "PIPED",
        send: "",
    },
    Step {
        expect: "p11> ",
        send: "sleep 0.5 &\n",
    },
    Step {
        expect: "p12> ",
        send: "fg\n",
    },
    Step {
        expect: "p13> ",
        send: "stty -echo; read secret; stty echo; echo got $secret\n",
    },
    Step {
        expect: "echo got $secret\r\n",
        send: "hidden\n",
    },
    Step {
        expect: "got hidden",
        send: "",
    },
    Step {
        expect: "p14> ",
        send: "vi\n",
    },
    Step {
        expect: "~",
        send: "\x1b:q\n",
    },
    Step {
        expect: "p15> ",
        send: "bash --norc -i\n",
    },
    Step {
        expect: "bash-5",
        send: "echo edX\x7fited\n",
    },
    Step {
        expect: "edited\r\n",
        send: "",
    },
    Step {
        expect: "bash-5",
        send: "exit\n",
    },
    Step {
        expect: "p16> ",
        send: "exit\n",
    },
];

fn terminal_session(runtime: &Runtime, user: User) {
    let program = Program::new("terminal", user);
    let (bundle, _) = program.prepare(runtime);
    let mut config = Config::new(&["/bin/bash", "--norc", "--noediting", "-i"], user);
    config.terminal(24, 80);
    std::fs::write(bundle.rootfs().join("etc/hostname"), "pod\n").expect("write etc/hostname");
    play(runtime, &bundle, &config);
}

fn play(runtime: &Runtime, bundle: &Bundle, config: &Config) {
    let container = Container::new(runtime, bundle, config);
    let mut console = Console::run(&container, bundle.path());
    let limit = Duration::from_secs(20);
    let root = config.json()["process"]["user"]["uid"] == 0;
    let begin = Step {
        expect: if root { "# " } else { "$ " },
        send: "PS1='p\\#> '\n",
    };
    let played = console
        .play(&[begin], limit)
        .and_then(|()| console.play(SESSION, limit));
    played.unwrap_or_else(|problem| panic!("under {}: {problem}", runtime.name));
    console.finish(limit);
    container.wait_for("stopped", limit);
}

/// The steps are the expectation, so the sandbox is not compared with a transcript.
#[test]
fn bash_in_a_terminal() {
    for runtime in runtimes() {
        for user in [User::Root, User::Dev] {
            terminal_session(&runtime, user);
        }
    }
}
