//! Programs that misbehave. What limits hold is tested in both levels; what only isolation holds, in isolation, which a
//! machine without user namespaces does not have: there its absence is what is tested.

use super::*;
use std::time::Instant;

/// No run of these may take so long, whatever it tries.
const PATIENCE: Duration = Duration::from_secs(30);

fn run(level: Level, text: &str, seconds: u32) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sandbox = Sandbox { level, root: rustix::process::geteuid().is_root() };
    let began = Instant::now();
    let ran = runtime.block_on(sandbox.run(text, seconds)).expect("it starts");
    assert!(began.elapsed() < PATIENCE, "{:?}: {text}", began.elapsed());
    ran
}

fn levels() -> Vec<Level> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (sandbox, warning) = runtime.block_on(Sandbox::open()).expect("python3 is here");
    assert_eq!(warning.is_some(), sandbox.level == Level::Limited, "{warning:?}");
    if let Some(warning) = warning {
        assert!(warning.starts_with("WARNING") && warning.contains("network"), "{warning}");
        eprintln!("{warning}");
        return vec![Level::Limited];
    }
    vec![Level::Isolated, Level::Limited]
}

#[test]
fn a_program_runs_and_its_end_is_told() {
    for level in levels() {
        let ran = run(level, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", 10);
        assert_eq!((ran.exit_code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(3), "out\n", "err\n"), "{level:?}");
        assert_eq!(ran.stopped, None);
    }
}

#[test]
fn an_endless_loop_and_a_sleeper_are_stopped() {
    for level in levels() {
        for text in [
            "while True: pass",
            "import time; time.sleep(1000)",
            "import signal, time\nfor s in range(1, 20):\n  try: signal.signal(s, signal.SIG_IGN)\n  except OSError: pass\ntime.sleep(1000)",
        ] {
            let ran = run(level, text, 1);
            assert_eq!(ran.stopped.as_deref(), Some("it ran for 1 s"), "{level:?}: {ran:?}");
            assert_ne!(ran.exit_code, Some(0));
        }
    }
}

#[test]
fn a_fork_bomb_stays_small_and_ends() {
    let bomb = "import os\nn = 0\nwhile True:\n  try:\n    if os.fork() == 0: n = -10**9\n    n += 1\n  except OSError:\n    break\nprint('held', n)\nimport time; time.sleep(1000)";
    for level in levels() {
        let ran = run(level, bomb, 2);
        assert_eq!(ran.stopped.as_deref(), Some("it ran for 2 s"), "{level:?}: {ran:?}");
        assert!(ran.stdout.lines().count() <= PROCESSES as usize, "{level:?}: {ran:?}");
    }
}

#[test]
fn memory_files_and_output_are_bounded() {
    for level in levels() {
        let ran = run(level, "x = bytearray(4 << 30); print('got it')", 10);
        assert!(ran.exit_code != Some(0) && ran.stderr.contains("MemoryError"), "{level:?}: {ran:?}");
        let ran = run(
            level,
            "f = open('big', 'wb')\nfor _ in range(64): f.write(bytes(1 << 20)); f.flush()\nprint('got it')",
            10,
        );
        assert!(ran.exit_code != Some(0) && !ran.stdout.contains("got it"), "{level:?}: {ran:?}");
        let ran =
            run(level, "import sys\nfor _ in range(10240): sys.stdout.write('x' * (1 << 20))\nprint('got it')", 20);
        assert_eq!(ran.stopped.as_deref(), Some("it printed more than 64 KiB"), "{level:?}");
        assert!(ran.stdout.len() <= OUTPUT);
        let ran = run(level, "import sys\nwhile True: sys.stderr.write('x' * (1 << 20))", 20);
        assert_eq!(ran.stopped.as_deref(), Some("it printed more than 64 KiB"), "{level:?}");
    }
}

#[test]
fn no_variable_of_the_operator_is_seen_and_nothing_is_left_of_the_folder() {
    // The test's own environment has variables that a program must not see, whatever they are.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    for level in levels() {
        let ran = run(level, "import os; print(sorted(os.environ)); print(os.getcwd())", 10);
        let (names, place) = ran.stdout.split_once('\n').expect("two lines");
        assert!(!names.contains("CARGO") && !names.contains("USER") && names.contains("TMPDIR"), "{level:?}: {names}");
        assert!(!std::path::Path::new(place.trim()).join("program.py").exists(), "{place}");
    }
}

#[test]
fn isolation_keeps_files_network_and_leftovers_away() {
    if !levels().contains(&Level::Isolated) {
        return;
    }
    let secret = tempfile::Builder::new().prefix("operator-").tempdir().expect("a folder");
    std::fs::write(secret.path().join("secret"), "s3cr3t").expect("written");
    std::fs::set_permissions(secret.path(), std::fs::Permissions::from_mode(0o777)).expect("open to all");
    let place = secret.path().display().to_string();
    let text = format!(
        "import os, socket\n\
         def tries(f):\n  try: print('DID', f())\n  except OSError as e: print(type(e).__name__)\n\
         tries(lambda: open('{place}/secret').read())\n\
         tries(lambda: open('{place}/new', 'w'))\n\
         tries(lambda: open('/usr/new', 'w'))\n\
         tries(lambda: open('/new', 'w'))\n\
         tries(lambda: open('/etc/passwd').read())\n\
         tries(lambda: os.listdir('/proc'))\n\
         tries(lambda: os.chroot('/usr'))\n\
         tries(lambda: os.setuid(1))\n\
         tries(lambda: socket.create_connection(('127.0.0.1', 22), 1))\n\
         tries(lambda: socket.create_connection(('192.0.2.1', 80), 1))\n\
         open('own', 'w').write('1')\n"
    );
    let ran = run(Level::Isolated, &text, 10);
    assert_eq!((ran.exit_code, ran.stdout.lines().count()), (Some(0), 10), "{ran:?}");
    assert!(!ran.stdout.contains("DID"), "{ran:?}");
    assert!(!secret.path().join("new").exists());
    // A child that leaves its session and goes on holds nothing open and does not live.
    let marker = format!("sandbox-leftover-{}", std::process::id());
    let child = format!(
        "import os, time, sys\nif os.fork() == 0:\n  os.setsid()\n  os.execv(sys.executable, ['{marker}', '-c', 'import time; time.sleep(1000)'])\ntime.sleep(0.3)\nprint('left')"
    );
    let ran = run(Level::Isolated, &child, 10);
    assert_eq!((ran.exit_code, ran.stdout.as_str()), (Some(0), "left\n"), "{ran:?}");
    assert!(!alive(&marker), "a child outlived its sandbox");
}

/// Whether a process of this name is there.
fn alive(marker: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter_map(|p| std::fs::read(p.path().join("cmdline")).ok())
        .any(|line| line.starts_with(marker.as_bytes()))
}
